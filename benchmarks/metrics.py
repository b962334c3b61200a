"""Times the nine MIT metrics and SALICON's four on one core, at 640 x 480, relative to a sort.

    python benchmarks/metrics.py [--repeats N]

Prints the median of the repeats in milliseconds of processor time, which other work on the machine affects
less than wall-clock time, and the ratio to one `numpy.sort` of such a map in the same run. The last column
is the reference: the MIT code in Octave, and salicon-evaluation in Python 2.7.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ[_name] = '1'  # one core, however many there are; read when numpy is imported

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / 'tests/golden/metrics')]

# A few fixations, as from an eye tracker, and SALICON 2015's raw mouse samples.
CASES = [
    {'seed': 1102, 'H': 480, 'W': 640, 'nfix': 300, 'sal': 'u8', 'sigma': 19},
    {'seed': 1117, 'H': 480, 'W': 640, 'nfix': 7000, 'sal': 'u8', 'sigma': 19, 'other_n': [5000, 8000]},
]
REFERENCE = {'all nine': ('870', 'over 5000'), 'all four': ('250', '250')}


def milliseconds(function, repeats):
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append((time.process_time() - start) * 1000)
    return statistics.median(times)


def functions(case):
    """Name -> a call of each metric on the inputs of a case; the two groups by protocol."""
    from utils import metrics

    sal, gt, fix, points, other = (case[name] for name in ('sal', 'gt', 'fix', 'fix_list', 'other'))
    mit = {
        'NSS': lambda: metrics.nss(sal, fix),
        'CC': lambda: metrics.cc(sal, gt),
        'SIM': lambda: metrics.similarity(sal, gt),
        'KL': lambda: metrics.kl_divergence(sal, gt),
        'IG': lambda: metrics.information_gain(sal, fix, case['baseline']),
        'AUC-Judd': lambda: metrics.auc_judd(sal, fix),
        'AUC-Borji': lambda: metrics.auc_borji(sal, fix),
        'sAUC': lambda: metrics.auc_shuffled(sal, fix, other),
        'EMD': lambda: metrics.emd(sal, gt),
    }
    salicon = {
        'SALICON AUC': lambda: metrics.salicon_auc(sal, points),
        'SALICON sAUC': lambda: metrics.salicon_sauc(sal, points, other),
        'SALICON NSS': lambda: metrics.salicon_nss(sal, points),
        'SALICON CC': lambda: metrics.salicon_cc(sal, points),
    }
    return {'all nine': mit, 'all four': salicon}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--repeats', type=int, default=9, help='per call (default: %(default)s)')
    repeats = parser.parse_args().repeats

    import inputs_metrics
    import numpy as np

    for number, case in enumerate(CASES):
        built = inputs_metrics.build(case)
        values = built['sal'].ravel() + np.random.RandomState(0).random_sample(built['sal'].size)
        sort = milliseconds(lambda values=values: np.sort(values), repeats)
        print(f'\n640 x 480, {len(built["fix_list"])} fixations; one numpy.sort of the map: {sort:.1f} ms')
        print(f'{"":14} {"ms":>8} {"sorts":>7} {"reference, ms":>14}')
        for total, group in functions(built).items():
            times = {name: milliseconds(function, repeats) for name, function in group.items()}
            for name, taken in times.items():
                print(f'{name:14} {taken:8.1f} {taken / sort:7.2f}')
            taken = sum(times.values())
            print(f'{total:14} {taken:8.1f} {taken / sort:7.2f} {REFERENCE[total][number]:>14}')


if __name__ == '__main__':
    main()
