"""On a card: whether the results match the original's, how fast they are, and PyTorch on the same card.

    python benchmarks/gpu.py [--issue FILE]

Prints the card, the errors of the map and of training relative to the records in tests/golden, and a table
of images per second and memory, for predictions and updates, here and in PyTorch with TF32 off. PyTorch is
installed, once, into a separate environment, or --torch names a Python that has it. --others, --find and
--profile measure what only a card can show; --issue writes everything printed to a file for an issue. Exit
status: 0 all numbers are within their limits; 1 one is not; 2 there is no usable card.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'golden')]

TORCH = ['torch==2.9.1', 'numpy==1.26.4', 'tqdm']
MAP_LIMIT = 1e-4
NOISE_LIMIT = 10  # times the difference that other kernels make to the original's float32
NAMES = {
    'theano': 'ours',
    '2017': 'ours, as in 2017',
    'deterministic': 'ours, deterministic',
    'guess': 'ours, cuDNN names',
    'time': 'ours, cuDNN tries',
    'torch': 'PyTorch eager',
    'channels_last': 'PyTorch channels_last',
    'compile': 'PyTorch compiled',
}
OURS = ['theano', '2017', 'deterministic', 'guess', 'time']
TORCHES = ['torch', 'channels_last', 'compile']
# rows that are the same as another: predictions have no gradients, and by default take what cuDNN names
SAME = {'predict': ('deterministic', 'guess'), 'bce': ('time',), 'salgan': ('time',)}


def _algorithms(forward, gradients):
    choices = {'fwd': forward, 'bwd_data': gradients, 'bwd_filter': gradients}
    return ','.join(f'dnn.conv.algo_{way}={choice}' for way, choice in choices.items())


FLAGS = {  # of Theano, by choice of algorithms
    'theano': '',
    '2017': _algorithms('small', 'none'),
    'deterministic': 'deterministic=more',
    'guess': _algorithms('guess_on_shape_change', 'guess_on_shape_change'),
    'time': _algorithms('time_on_shape_change', 'time_on_shape_change'),
    'without cuDNN': 'dnn.enabled=False',
}
NOTES = """salgan: the mean of an update of D and one of G. to PyTorch: images per second, relative to its
best row. memory: the card's memory that the process holds after the measurement; own count: PyTorch's own
count of its peak, with what cudnn.benchmark tried. Ours sums the discriminator's forward convolutions in
float64, PyTorch in float32."""

_printed: list = []


def main():
    arguments = options()
    flags = ','.join(filter(None, [os.environ.get('THEANO_FLAGS'), f'device={arguments.device}']))
    os.environ['THEANO_FLAGS'] = flags
    found = subprocess.run(
        [sys.executable, '-m', 'backend'], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True
    )
    if found.returncode:
        return found.returncode
    say(found.stdout.rstrip())
    kept = True
    if arguments.only != 'speed':
        kept = numbers()
    for name in FLAGS if arguments.others else ():
        if name != 'theano':
            say(f'\n{name}:')
            kept = numbers(FLAGS[name]) and kept
    if arguments.find is not None:
        find(arguments)
    if arguments.only != 'numbers':
        before = clock()
        speed(arguments, python_with_torch(arguments))
        say(f'clock of the multiprocessors, MHz: {before} before, {clock()} after')
    if arguments.issue:
        write_issue(arguments.issue)
    return 0 if kept else 1


def say(text):
    """Prints a line, and keeps it for --issue."""
    _printed.append(text)
    print(text, flush=True)


def write_issue(path):
    """Writes all that was printed as a block of Markdown, with the commit and the command."""
    commit = subprocess.run(
        ['git', 'describe', '--always', '--dirty'], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    command = ' '.join(['benchmarks/gpu.py', *sys.argv[1:]])
    text = '\n'.join(_printed)
    path.write_text(f'`{command}` at {commit or "an unknown commit"}\n\n```\n{text}\n```\n', encoding='utf-8')


def clock():
    """The card's current clock according to nvidia-smi."""
    tool = shutil.which('nvidia-smi')
    if not tool:
        return 'unknown'
    query = [tool, '--query-gpu=clocks.sm', '--format=csv,noheader,nounits']
    return (
        '/'.join(subprocess.run(query, capture_output=True, text=True, check=False).stdout.split())
        or 'unknown'
    )


def options():
    from utils.command_line import network_size, positive

    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    option = parser.add_argument
    option('--device', default='cuda', help="Theano's device; cpu tests the benchmark itself")
    option('--torch', metavar='PYTHON', default='install', help='a Python with PyTorch, install, or none')
    option('--size', type=network_size, default='256x192', help='width x height')
    option('--batches', type=positive, nargs='*', default=[1, 8, 32], help='of predictions')
    option('--updates', type=positive, nargs='*', default=[32], metavar='BATCH', help='batch sizes: updates')
    option('--runs', type=positive, default=20, help='per call, after three that do not count')
    option(
        '--engines',
        nargs='+',
        choices=NAMES,
        default=list(NAMES),
        metavar='NAME',
        help=f'rows of the table, some of {", ".join(NAMES)}',
    )
    option('--only', choices=('numbers', 'speed'), help='run one of the two parts')
    option('--others', action='store_true', help='also compute the numbers with other choices of algorithms')
    option(
        '--find',
        type=positive,
        nargs='*',
        metavar='BATCH',
        help='time every cuDNN algorithm for every layer, at these batch sizes (1 and 32 if none is named)',
    )
    option('--profile', action='store_true', help="print Theano's profile of each of our processes on stderr")
    option('--issue', type=Path, metavar='FILE', help='write everything printed, for pasting into an issue')
    return parser.parse_args()


# --- the numbers ---


def numbers(flags=''):
    """Prints each error beside its limit; returns whether all are within it."""
    flags = ','.join(filter(None, [os.environ['THEANO_FLAGS'], flags]))
    environment = {**os.environ, 'THEANO_FLAGS': flags}
    rows = [('map of predict_map.npz, largest error', map_error(environment), MAP_LIMIT)]
    for mode in ('bce', 'salgan'):
        error = training_error(mode, environment)
        rows.append((f'train_{mode}.npz, error in units of its noise', error, NOISE_LIMIT))
    for name, error, limit in rows:
        say(f'{name:48}{error:10.2g}  limit {limit:g}{"" if error <= limit else "  EXCEEDED"}')
    return all(error <= limit for _, error, limit in rows)


def map_error(environment):
    code = 'import sys; from benchmarks.gpu import compare_map; print(compare_map())'
    command = [sys.executable, '-c', code]
    return float(subprocess.run(command, cwd=ROOT, stdout=-1, check=True, env=environment).stdout)


def compare_map():
    """Runs in a separate process, on the card."""
    import inputs
    import numpy as np

    from models.prediction import Predictor

    record = np.load(ROOT / 'tests' / 'golden' / 'network' / 'predict_map.npz')
    width, height = int(record['width']), int(record['height'])
    arrays = inputs.generator_arrays(int(record['generator_seed']), float(record['gain']))
    images, _ = inputs.batch(int(record['batch_seed']), 1, width, height)
    pictures = images.transpose(0, 2, 3, 1).astype(np.uint8)
    return np.abs(Predictor(arrays, width, height)(pictures)[0] - record['map']).max()


def training_error(mode, environment):
    """Compares as tests/test_models.py does: costs through update 4, and the statistics up to there."""
    import numpy as np

    network = ROOT / 'tests' / 'golden' / 'network'
    noise = json.loads((network / f'train_{mode}_noise.json').read_text())['noise']
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, 'ours.npz')
        path = network / f'train_{mode}.npz'
        subprocess.run(
            [sys.executable, ROOT / 'tests' / 'helpers' / 'trajectory.py', path, output],
            check=True,
            env=environment,
        )
        record, ours = dict(np.load(path)), dict(np.load(output))
    costs = 'costs' if mode == 'salgan' else 'loss'
    moved = np.abs(ours[costs] - record[costs]).reshape(len(record[costs]), -1).max(axis=1)
    pairs = list(zip(moved[:4], noise[costs]['max_abs_diff_by_update']))
    for name in noise:
        if name.startswith(('u1_', 'u2_', 'u4_', 'maps_before', 'prob_')):
            pairs.append((np.nanmax(np.abs(ours[name] - record[name])), noise[name]['max_abs_diff']))
    # values that no kernel changes have no noise, and must be equal
    return max(error / max(of_kernels, np.finfo(float).tiny) for error, of_kernels in pairs)


# --- the speed ---


def find(arguments):
    """What benchmarks/gpu_find.py prints."""
    script = ROOT / 'benchmarks' / 'gpu_find.py'
    settings = ['--size', '{}x{}'.format(*arguments.size), *map(str, arguments.find)]
    result = subprocess.run([sys.executable, script, *settings], stdout=-1, text=True, check=False)
    say(f'\n{result.stdout.rstrip()}')


def speed(arguments, python):
    ours = OURS if arguments.device != 'cpu' else ['theano']
    chosen = [e for e in [*ours, *(TORCHES if python else [])] if e in arguments.engines]
    say(f'\n{"":34}{"ms":>9}{"images/s":>10}{"to PyTorch":>12}{"memory MB":>11}{"own count":>11}')
    tasks = {'predict': arguments.batches, 'bce': arguments.updates, 'salgan': arguments.updates}
    for task, batches in tasks.items():
        batches = sorted(batches)
        engines = [e for e in chosen if e not in SAME[task]]
        measured = {e: measure(arguments, e, python, task, batches) for e in engines} if batches else {}
        for n, batch in enumerate(batches):
            here = {engine: of[n] for engine, of in measured.items() if n < len(of)}
            base = min((here[engine][0] for engine in TORCHES if engine in here), default=0)
            for engine in engines:
                row(f'{task} {batch}: {NAMES[engine]}', batch, here.get(engine), base)
    say(NOTES)


def row(name, batch, measured, base):
    if measured is None:
        say(f'{name:34}  failed')
        return
    seconds, memory, own = measured
    ratio = f'{base / seconds:.2f}' if base else ''
    counted = '' if own is None else f'{own:11.0f}'
    say(f'{name:34}{1000 * seconds:9.1f}{batch / seconds:10.1f}{ratio:>12}{memory:11.0f}{counted}')


def measure(arguments, engine, python, task, batches):
    """What gpu_engine.py measured, by batch size, up to the first that fails; that one says why."""
    script = ROOT / 'benchmarks' / 'gpu_engine.py'
    settings = [engine, arguments.device, task, *arguments.size, arguments.runs, *batches]
    environment = {**os.environ, 'NVIDIA_TF32_OVERRIDE': '0'}
    flags = [os.environ['THEANO_FLAGS'], *filter(None, [FLAGS.get(engine)])]
    if arguments.profile:
        flags.append('profile=True')
        environment['CUDA_LAUNCH_BLOCKING'] = '1'  # otherwise the time is charged to whoever waits
    environment['THEANO_FLAGS'] = ','.join(flags)
    result = subprocess.run(
        [python if engine in TORCHES else sys.executable, script, *map(str, settings)],
        stdout=subprocess.PIPE,
        env=environment,
        check=False,
    )
    lines = result.stdout.splitlines()
    return json.loads(lines[-1]) if lines else []


def python_with_torch(arguments):
    """A Python that has PyTorch, in an environment made if necessary; None if none is wanted."""
    if arguments.torch != 'install':
        return None if arguments.torch == 'none' else arguments.torch
    folder = ROOT / '.venv-benchmark-gpu'
    python, stamp = folder / 'bin' / 'python', folder / 'installed'
    if not stamp.exists():
        print(f'installing {", ".join(TORCH)} into {folder}', file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, '-m', 'pip', 'install', '--quiet', *TORCH], check=True)
        stamp.touch()
    return python


if __name__ == '__main__':
    sys.exit(main())
