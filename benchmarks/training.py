"""Times an update of each network at full size, with its peak memory, and a prediction of the same batch.

    python benchmarks/training.py [--size 256x192] [--batch-size 32] [--updates N]

Each mode is a separate process with OMP_NUM_THREADS threads; a first call of each function, on one image, is
not counted. The ratio is to the prediction in the same process; CPU seconds divided by seconds tell how many
cores the process got.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'golden')]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    option = parser.add_argument
    option('--size', default='256x192', help='width x height (default: %(default)s)')
    option('--batch-size', type=int, default=32, help='images per update (default: %(default)s)')
    option('--updates', type=int, default=1, help='counted updates of each network (default: %(default)s)')
    option('--measure', choices=['bce', 'salgan'], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options)))
        return
    print(f'{"mode":8}{"call":16}{"seconds":>9}{"CPU s":>9}{"ratio":>7}{"peak GB":>9}')
    for mode in ('bce', 'salgan'):
        command = [sys.executable, __file__, *sys.argv[1:], '--measure', mode]
        measured = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        for name, (seconds, cpu_seconds, peak) in measured.items():
            ratio = seconds / measured['prediction'][0]
            print(f'{mode:8}{name:16}{seconds:9.1f}{cpu_seconds:9.1f}{ratio:7.2f}{peak:9.2f}', flush=True)


def measure(options):
    """{call: (seconds, CPU seconds, peak of memory so far in GB)}, means over the counted updates."""
    import inputs

    from benchmarks.machine import peak_megabytes
    from models.model_bce import ModelBCE
    from models.model_salgan import ModelSALGAN
    from models.parameters import set_values

    width, height = map(int, options.size.split('x'))
    model: Any = (ModelBCE if options.measure == 'bce' else ModelSALGAN)(width, height, options.batch_size)
    set_values(model.net['output'], inputs.generator_arrays(1))
    images, maps = inputs.batch(1, options.batch_size, width, height)
    calls: dict = {'prediction': (model.predictFunction, images)}
    if options.measure == 'salgan':
        calls['update of D'] = (model.D_trainFunction, images, maps)
    calls['update of G'] = (model.G_trainFunction, images, maps)
    measured = {}
    for name, (function, *fed) in calls.items():
        function(*(array[:1] for array in fed))
        seconds, cpu_seconds = time.perf_counter(), sum(os.times()[:2])
        for _ in range(options.updates):
            function(*fed)
        spent = time.perf_counter() - seconds, sum(os.times()[:2]) - cpu_seconds
        measured[name] = [each / options.updates for each in spent] + [peak_megabytes() * 2**20 / 1e9]
    return measured


if __name__ == '__main__':
    main()
