"""Times a warm 03-predict.py: on one photograph, compared with its indispensable steps, and on a folder.

Each run is a separate process, in turn, with the compiled modules and the weights file in the page cache;
memory is the peak that the kernel reports. The aim is one photograph in 12 s on two cores and in 1 GB, and a
folder in at most 1.05 times what the network itself needs for as many images.

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
LOAD = f'{READ}; predictor = models.prediction.Predictor(arrays)'
MAP = f'{LOAD}; import numpy as np; predictor(np.zeros((1, 192, 256, 3), np.uint8))'
STEPS = {
    'python with numpy, cv2': 'import numpy, cv2',
    '+ Theano and Lasagne': NETWORK,
    '+ reading the weights': READ,
    '+ loading its function': LOAD,
    '+ one map': MAP,
}


def measured(command):
    """Wall-clock seconds of a whole process, its processor seconds, and its peak memory in MB."""
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
    parser.add_argument('--photographs', type=int, default=500, help='in the folder (default: %(default)s)')
    parser.add_argument('--runs', type=int, default=3, help='of each command (default: %(default)s)')
    options = parser.parse_args()

    # in a separate process: getrusage includes a parent's memory from before the exec
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
        throughput = folder_beside_network(folder, predict[2:], options, weights)
    base = median(seconds for seconds, _, _ in results['+ one map'])
    print(f'one photograph of 640 x 480, median of {options.runs}')
    print(f'{"":28}{"seconds":>8}{"ratio":>7}{"CPU s":>7}{"peak MB":>9}')
    for name, result in results.items():
        seconds, processor, memory = map(median, zip(*result))
        print(f'{name:28}{seconds:8.2f}{seconds / base:7.2f}{processor:7.2f}{memory:9.0f}')
    print(f'\n{options.photographs} photographs, minus the time of a process that does one\n{throughput}')


def folder_beside_network(folder, arguments, options, weights):
    """The lines of a table: 03-predict.py on a folder of photographs, and the network alone on as many."""
    image, *others = arguments
    photographs = os.path.join(folder, 'photographs')
    os.mkdir(photographs)
    for n in range(options.photographs):
        os.link(image, os.path.join(photographs, f'{n}.jpg'))
    commands = {
        'the network alone': lambda n: [sys.executable, '-c', ALONE.format(weights=weights, n=n)],
        '03-predict.py': lambda n: [
            sys.executable,
            '03-predict.py',
            image if n == 1 else photographs,
            *others,
        ],
    }
    spent: dict = {name: [] for name in commands}
    for _ in range(options.runs):
        for name, command in commands.items():
            one, all_of_them = measured(command(1)), measured(command(options.photographs))
            spent[name].append([b - a for a, b in zip(one[:2], all_of_them)])
    lines = [f'{"":28}{"seconds":>8}{"ratio":>7}{"CPU s":>7}{"ratio":>7}']
    base = None
    for name, times in spent.items():
        seconds, processor = map(median, zip(*times))
        base = base or (seconds, processor)
        lines.append(
            f'{name:28}{seconds:8.2f}{seconds / base[0]:7.2f}{processor:7.2f}{processor / base[1]:7.2f}'
        )
    return '\n'.join(lines)


ALONE = f"""
{LOAD.replace('; ', chr(10))}
import numpy as np
image = np.random.RandomState(0).randint(0, 256, (1, 192, 256, 3)).astype(np.uint8)
for _ in range({{n}}):
    predictor(image)
"""

MAKE = """
import os
import numpy as np
from utils import weights
from utils.architecture import generator_layout
from utils.images import write_image
rng = np.random.RandomState(0)
if not os.path.exists({weights!r}):
    arrays = [rng.randn(*shape).astype(np.float32) * 0.02 for _, _, shape in generator_layout()]
    weights.save({weights!r}, arrays)
write_image({image!r}, rng.randint(0, 256, (480, 640, 3)).astype(np.uint8))
"""

if __name__ == '__main__':
    main()
