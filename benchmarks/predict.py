"""03-predict.py on one image, warm: seconds and peak memory, beside the steps that it cannot do without.

Each run is a process of its own, in turn, with the compiled modules and the weights file in the page cache;
the memory is the kernel's mark of each. The demands: under 12 s on two cores, and under 1 GB.

    python benchmarks/predict.py --weights weights/gen_modelWeights0090.npz
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

NETWORK = 'import models.prediction'
READ = f'{NETWORK}; from utils.weights import read_generator; arrays = read_generator({{weights!r}})'
BUILD = f'{READ}; predictor = models.prediction.Predictor(arrays)'
COMPILE = f'{BUILD}; predictor._model.predictFunction'
MAP = f'{COMPILE}; import numpy as np; predictor(np.zeros((1, 192, 256, 3), np.uint8))'
STEPS = {
    'python with numpy, cv2': 'import numpy, cv2',
    '+ Theano and Lasagne': NETWORK,
    '+ reading the weights': READ,
    '+ building the network': BUILD,
    '+ compiling its function': COMPILE,
    '+ one map': MAP,
}


def measured(command):
    """Seconds of a whole process, those of the processor in it, and its peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f'{command} ended with {status}')
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--weights', help='a generator (default: one of random values, in a temporary folder)'
    )
    parser.add_argument('--runs', type=int, default=3, help='of each (default: %(default)s)')
    options = parser.parse_args()

    # in a process of its own: getrusage counts a parent's memory from before the exec
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.abspath(options.weights or os.path.join(folder, 'random.npz'))
        image = os.path.join(folder, 'image.jpg')
        subprocess.run(
            [sys.executable, '-c', MAKE.format(weights=weights, image=image)], check=True, cwd=ROOT
        )
        predict = [sys.executable, '03-predict.py', image, '--weights', weights]
        predict += ['--output', os.path.join(folder, 'maps')]
        commands = {
            name: [sys.executable, '-c', codes.format(weights=weights)] for name, codes in STEPS.items()
        }
        commands['03-predict.py'] = predict
        commands['03-predict.py, all formats'] = [*predict, '--format', 'jpg,png,npy,overlay']
        results: dict = {name: [] for name in commands}
        for run in range(options.runs + 1):
            for name, command in commands.items():
                result = measured(command)
                if run:  # the first compiles, and fills the page cache
                    results[name].append(result)
    base = median(seconds for seconds, _, _ in results['+ one map'])
    print(f'one image of 640 x 480, median of {options.runs}')
    print(f'{"":28}{"seconds":>8}{"ratio":>7}{"CPU s":>7}{"peak MB":>9}')
    for name, result in results.items():
        seconds, processor, memory = map(median, zip(*result))
        print(f'{name:28}{seconds:8.2f}{seconds / base:7.2f}{processor:7.2f}{memory:9.0f}')


MAKE = """
import os
import numpy as np
from utils import weights
from utils.images import write_image
rng = np.random.RandomState(0)
if not os.path.exists({weights!r}):
    arrays = [rng.randn(*shape).astype(np.float32) * 0.02 for _, _, shape in weights.generator_layout()]
    weights.save({weights!r}, arrays)
write_image({image!r}, rng.randint(0, 256, (480, 640, 3)).astype(np.uint8))
"""

if __name__ == '__main__':
    main()
