"""Time and memory for reading a generator's 127 MB: utils.weights compared with plain numpy.load.

`numpy.load` reads and checks each member's CRC; `read_generator` also checks names, types, shapes and that
every value is finite. Each run is a separate process, in turn, with the file in the page cache; memory is
the peak of the process minus its peak before reading.
"""

import argparse
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

BEFORE = r"""
import sys, time
sys.path.insert(0, {root!r})
import numpy as np
from utils import weights
from benchmarks.machine import peak_megabytes
before = peak_megabytes()
start = time.perf_counter()
"""
READ = {
    'numpy.load': 'file = np.load({path!r}); arrays = [file[name] for name in file.files]',
    'read_generator': 'arrays = weights.read_generator({path!r})',
    'read_encoder': 'arrays = weights.read_encoder({path!r})',
}
AFTER = """
print(time.perf_counter() - start, peak_megabytes() - before)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=7, help='of each kind (default: %(default)s)')
    arguments = parser.parse_args()

    import numpy as np

    from utils import architecture, weights

    rng = np.random.RandomState(0)
    arrays = [rng.randn(*shape).astype(np.float32) * 0.02 for _, _, shape in architecture.generator_layout()]
    with tempfile.TemporaryDirectory() as folder:
        files = {'stored': os.path.join(folder, 'a.npz'), 'compressed': os.path.join(folder, 'b.npz')}
        weights.save(files['stored'], arrays)
        np.savez_compressed(files['compressed'], *arrays)
        print(f'{"file":12}{"reader":18}{"seconds":>9}{"ratio":>8}{"peak MB":>10}')
        for kind, path in files.items():
            results: dict = {name: [] for name in READ}
            for _ in range(arguments.runs):
                for name, code in READ.items():
                    results[name].append(run(code, path))
            base = median(seconds for seconds, _ in results['numpy.load'])
            for name, result in results.items():
                seconds = median(seconds for seconds, _ in result)
                memory = max(megabytes for _, megabytes in result) * 2**20 / 1e6
                print(f'{kind:12}{name:18}{seconds:9.3f}{seconds / base:8.2f}{memory:10.0f}')


def run(code, path):
    code = BEFORE.format(root=ROOT) + code.format(path=path) + AFTER
    output = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    seconds, megabytes = output.split()
    return float(seconds), float(megabytes)


def median(values):
    values = sorted(values)
    return values[len(values) // 2]


if __name__ == '__main__':
    main()
