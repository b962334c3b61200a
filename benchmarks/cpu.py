"""Speed on the CPU compared with PyTorch and others: predictions and training updates, in one table.

Every engine runs in a separate process with the same weights, images and threads; they take turns, so that
other work on the machine affects all of them. The other engines are installed, once, into a separate
environment.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, 'tests', 'golden')]

REQUIREMENTS = [
    'torch==2.13.0',
    'numpy==1.26.4',
    'tqdm',
    'onnx==1.23.2',
    'onnxruntime==1.32.0',
    'ncnn==1.0.20261020',
    'opencv-python-headless==4.11.0.86',
]
NAMES = {
    'theano': 'ours (Winograd)',
    'avx512': 'ours (AVX-512)',
    'onednn': 'ours (oneDNN only)',
    'corrmm': 'Theano only (CorrMM)',
    'channels_last': 'PyTorch channels_last',
    'torch': 'PyTorch eager',
    'compiled': 'PyTorch compiled',
    'onnxruntime': 'onnxruntime',
    'ncnn': 'ncnn',
}
OURS = ('theano', 'onednn', 'corrmm', 'float64', 'avx512')
TORCH = ('torch', 'channels_last', 'compiled')
SIZES = ('32x32', '64x48', '128x96', '256x192', '320x240', '512x384', '640x480', '1024x768')
PARTS = ('predict', 'bce', 'salgan', 'sizes', 'start-up')


def main():
    arguments = options()
    import numpy as np

    from benchmarks.machine import environment
    from utils.command_line import network_size

    os.environ['OMP_NUM_THREADS'] = str(arguments.threads)
    python = environment(arguments.environment, REQUIREMENTS)
    width, height = arguments.size
    print(
        f'{cpu()}, {arguments.threads} threads, {width} x {height}, medians of {arguments.runs} runs in turn'
    )
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, python)
        if 'predict' in arguments.only:
            for batch in arguments.batches:
                images(folder, batch, width, height)
                expected = os.path.join(folder, 'expected.npy')
                Engine('float64', 'predict', folder, python, expected).end()
                others = ('onnxruntime', 'ncnn') if batch == 1 else ()
                engines = [n for n in (*ours(), *TORCH, *others) if n in arguments.engines]
                rows = measure(engines, 'predict', folder, python, arguments.runs, np.load(expected))
                table(f'prediction, batch {batch}', rows, 'channels_last')
        for task in ('bce', 'salgan'):
            if task in arguments.only:
                batch = 32 if arguments.long else 8
                images(folder, batch, width, height)
                engines = [n for n in (*ours(), *TORCH) if n in arguments.engines]
                rows = measure(engines, task, folder, python, max(2, arguments.runs // 3))
                table(f'one {task} update of the generator, batch {batch}', rows, 'torch')
        if 'sizes' in arguments.only:
            for size in SIZES:
                images(folder, 1, *network_size(size))
                rows = measure(('theano', 'corrmm'), 'predict', folder, python, arguments.runs)
                table(f'prediction, {size}', rows, 'corrmm')
        if 'start-up' in arguments.only:
            start_up(folder, python, arguments.runs)


def options():
    from backend import native
    from utils.command_line import network_size, positive

    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--runs', type=positive, default=9, help='per engine')
    parser.add_argument('--batches', type=positive, nargs='*', default=[1, 8], help='of predictions')
    parser.add_argument('--size', type=network_size, default='256x192', help='width x height')
    parser.add_argument('--threads', type=positive, default=native.threads(), help='per engine')
    parser.add_argument('--long', action='store_true', help='updates at batch 32, as in the paper, not 8')
    parser.add_argument('--engines', choices=NAMES, nargs='*', default=[*NAMES], help='some of the engines')
    parser.add_argument('--only', choices=PARTS, nargs='*', default=PARTS, help='some of the parts')
    parser.add_argument(
        '--environment', default=os.path.join(ROOT, '.venv-benchmark'), help='where the others are installed'
    )
    return parser.parse_args()


def ours():
    """The project's engines that there are here."""
    from backend import native

    return ('theano', 'avx512', 'onednn', 'corrmm') if 'avx512f' in native.cpu_features() else OURS[:3]


def cpu():
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            return next(line.partition(':')[2].strip() for line in file if line.startswith('model name'))
    except (OSError, StopIteration):
        return platform.processor()


def prepare(folder, python):
    """Seeded weights, as every engine reads them."""
    import inputs

    from utils import weights

    arrays = inputs.generator_arrays(1)
    npz = os.path.join(folder, 'generator.npz')
    weights.save(npz, arrays)
    for kind, ending in (('torch', 'pt'), ('onnx', 'onnx')):
        convert = os.path.join(ROOT, 'weights', 'convert.py')
        output = os.path.join(folder, f'generator.{ending}')
        command = [python, convert, npz, '--to', kind, '--output', output]
        subprocess.run(command, check=True, stderr=subprocess.PIPE)
    write_ncnn(folder, weights.flipped(arrays))


def write_ncnn(folder, arrays):
    """The generator in ncnn's two files; the mean colour is subtracted beforehand."""
    from utils.architecture import GENERATOR, POOL, UPSCALE

    arrays, lines, at = list(arrays), ['Input images 0 1 images'], 'images'
    with open(os.path.join(folder, 'generator.bin'), 'wb') as file:
        for n, layer in enumerate(GENERATOR):
            if layer.kind == POOL:
                lines.append(f'Pooling p{n} 1 1 {at} b{n} 0=0 1=2 2=2')
            elif layer.kind == UPSCALE:
                lines.append(f'Interp u{n} 1 1 {at} b{n} 0=1 1=2.0 2=2.0')
            else:
                filters, bias = arrays[:2]
                del arrays[:2]
                activation = {'sigmoid': 4, 'rectify': 1}[layer.nonlinearity]
                lines.append(
                    f'Convolution {layer.name} 1 1 {at} b{n} 0={len(bias)} 1={layer.side} '
                    f'4={layer.side // 2} 5=1 '
                    f'6={filters.size} 9={activation}'
                )
                file.write(b'\0\0\0\0' + filters.tobytes() + bias.tobytes())
            at = f'b{n}'
    lines[-1] = lines[-1].replace(at, 'maps')
    with open(os.path.join(folder, 'generator.param'), 'w', encoding='ascii') as file:
        file.write('\n'.join(['7767517', f'{len(lines)} {len(lines)}', *lines, '']))


def images(folder, batch, width, height):
    import inputs
    import numpy as np

    np.save(os.path.join(folder, 'images.npy'), inputs.batch(5, batch, width, height)[0])


class Engine:
    """A process of benchmarks/cpu_engine.py."""

    def __init__(self, name, task, folder, python, map_file=''):
        flags = {
            'float64': {'THEANO_FLAGS': 'floatX=float64'},
            **{n: {'SALGAN_CONV': n} for n in ('onednn', 'corrmm', 'avx512')},
        }
        script = os.path.join(ROOT, 'benchmarks', 'cpu_engine.py')
        start = time.perf_counter()
        process: subprocess.Popen = subprocess.Popen(
            [sys.executable if name in OURS else python, script, name, task, folder, map_file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **flags.get(name, {})},
        )
        assert process.stdin and process.stdout  # they are pipes
        self.process, self.ask, self.answers = process, process.stdin, process.stdout
        self.works = self.answers.readline() == 'ready\n'
        self.start_up = time.perf_counter() - start

    def run(self):
        """(seconds, CPU seconds, peak in MB)"""
        self.ask.write('\n')
        self.ask.flush()
        return tuple(map(float, self.answers.readline().split()))

    def end(self):
        self.ask.close()
        self.process.wait()


def measure(names, task, folder, python, runs, expected=None):
    """A row per engine: (name, median seconds, CPU seconds, peak MB, start-up in seconds, error or None)."""
    import numpy as np

    engines: dict = {}
    errors: dict = {}
    for name in names:
        map_file = os.path.join(folder, f'{name}.npy') if expected is not None else ''
        for _ in range(2):  # the first may compile, and keeps the result
            engine = Engine(name, task, folder, python, map_file)
            if name in engines:
                engines[name].end()
            engines[name] = engine
        if not engine.works:
            print(f'{NAMES[name]} does not run here', file=sys.stderr)
            del engines[name]
        elif map_file:
            errors[name] = np.abs(np.load(map_file).reshape(expected.shape) - expected).max()
    results: dict = {name: [] for name in engines}
    for _ in range(runs):
        for name, engine in engines.items():
            results[name].append(engine.run())
    for engine in engines.values():
        engine.end()
    return [
        (
            name,
            *np.median(result, axis=0)[:2],
            result[-1][2],
            engines[name].start_up,
            errors.get(name),
        )
        for name, result in results.items()
    ]


def table(title, rows, base):
    seconds = {row[0]: row[1:3] for row in rows}
    heads = f'{"seconds":>9}{"ratio":>8}{"CPU s":>8}{"ratio":>8}{"peak MB":>9}{"start-up s":>12}{"error":>10}'
    print(f'\n{title}\n{"":24}{heads}')
    for name, wall, cpu_seconds, memory, start_up, error in rows:
        ratios = [f'{a / b:.2f}' for a, b in zip((wall, cpu_seconds), seconds.get(base, ()))] or ['', '']
        shown = f'{error:.1e}' if error is not None else ''
        print(
            f'{NAMES[name]:24}{wall:9.3f}{ratios[0]:>8}{cpu_seconds:8.3f}{ratios[1]:>8}'
            f'{memory:9.0f}{start_up:12.1f}{shown:>10}',
            flush=True,
        )
    print(f'ratio: to {NAMES[base]}; start-up: from process start to the first result, already compiled')


def start_up(folder, python, runs):
    """From process start to a photograph's written map, by 03-predict.py and by the same in PyTorch."""
    import cv2
    import numpy as np

    photograph, output = os.path.join(folder, 'photograph.png'), os.path.join(folder, 'saliency')
    cv2.imwrite(photograph, np.random.RandomState(0).randint(0, 256, (480, 640, 3), np.uint8))
    script, npz = os.path.join(ROOT, '03-predict.py'), os.path.join(folder, 'generator.npz')
    torch_script, pt = (
        os.path.join(ROOT, 'benchmarks', 'torch_predict.py'),
        os.path.join(folder, 'generator.pt'),
    )
    commands = {
        'ours': [sys.executable, script, photograph, '--weights', npz, '--output', output],
        'PyTorch channels_last': [python, torch_script, pt, photograph, os.path.join(folder, 'map.jpg')],
    }
    flags = {'THEANO_FLAGS': f'base_compiledir={os.path.join(folder, "compiled")}'}
    times: dict = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, **flags})
            times[name].append(time.perf_counter() - start)
    print('\nstart-up: from process start to the written map of one photograph of 640 x 480')
    print(f'{"":24}{"first time":>11}{"seconds":>9}{"ratio":>8}')
    base = np.median(times['PyTorch channels_last'][1:])
    for name, (first, *others) in times.items():
        print(f'{name:24}{first:11.1f}{np.median(others):9.2f}{np.median(others) / base:8.2f}', flush=True)


if __name__ == '__main__':
    main()
