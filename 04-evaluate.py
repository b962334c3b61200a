#!/usr/bin/env python3
"""Scores saliency maps against fixations, by the MIT benchmark's protocol or SALICON's."""

import argparse
import os

from utils.command_line import (
    DONE,
    SKIPPED,
    CouldNotStart,
    HadToStop,
    argument_parser,
    positive,
    progress,
    run,
    say,
)


def whole(text):
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of at least 0')
    return int(text)


def parser():
    parser = argument_parser(
        __doc__, 'Exit status 1: images were skipped, or --self-check found something wrong.'
    )
    option = parser.add_argument
    option('--maps', metavar='DIR', help='folder of saliency maps, of any size (default: none)')
    option(
        '--fixations',
        metavar='PATH',
        help='a folder or JSON file in a layout of SALICON, a folder of fixation maps (images, non-zero '
        'where fixated), or a pickle of 01 (default: none)',
    )
    option(
        '--fixation-type',
        choices=['fixations', 'mouse'],
        help='what to take from the gaze layout: fixations, or every mouse sample (default: fixations)',
    )
    option(
        '--fixation-filter',
        choices=['duplicates', 'none'],
        help='duplicates: keep a location recorded m times m - 1 times, as the SALICON challenge does '
        '(default: duplicates for JSON and mouse samples, none for fixations)',
    )
    option(
        '--ground-truth',
        metavar='DIR',
        help='folder of blurred maps (default: made of the fixations, sigma 19 at 640 x 480, in proportion)',
    )
    option('--protocol', choices=['mit', 'salicon'], default='mit', help='definitions of the metrics')
    option('--metrics', metavar='A,B', help='which of them (default: all of the protocol)')
    option(
        '--baseline',
        metavar='FILE',
        default='gaussian',
        help='what IG is gained over: a map, or gaussian, centred, sigma a quarter of each side',
    )
    option(
        '--others',
        type=whole,
        metavar='N',
        default=10,
        help="random other images whose fixations are sAUC's negatives, 0 for all; of protocol mit",
    )
    option(
        '--splits',
        type=positive,
        metavar='N',
        help='draws of AUC-Borji and sAUC; 100 in the MIT code (default: none, their exact expectation)',
    )
    option('--seed', type=whole, metavar='N', default=0, help='of all that is random')
    option('--allow-missing', action='store_true', help='score what there is, where maps or fixations lack')
    option(
        '--compare',
        nargs='+',
        default=[],
        metavar='TABLE',
        choices=['table2', 'table3', 'table4-salicon', 'table4-mit300'],
        help="the paper's rows beside ours: table2, table3, table4-salicon, table4-mit300 (default: none)",
    )
    option(
        '--output',
        nargs='+',
        default=[],
        metavar='FILE',
        help='.csv, .json, .md or .tex, one or more (default: only the table on stdout)',
    )
    option(
        '--self-check',
        action='store_true',
        help='scores what has known numbers on these fixations, and says what is not where it must be',
    )
    option(
        '--snapshots',
        metavar='DIR',
        help="scores every snapshot of a run and draws the paper's Figure 3; needs --images (default: none)",
    )
    option('--images', metavar='PATH', help='of --snapshots: a folder or a pickle of 01 (default: none)')
    option('--figure', metavar='STEM', default='figure3', help='where to draw it: STEM.png and STEM.pdf')
    option('--workers', type=positive, metavar='N', help='threads (default: one a processor)')
    return parser


def main():
    options = parser().parse_args()
    check(options)
    if not options.snapshots:
        os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')  # the threads are ours, an image each
    from utils import evaluation, ground_truth, tables
    from utils.files import make_folder

    # - see that the results can be written, before anything is computed
    tables.check_outputs(options.output)
    for path in options.output:
        make_folder(os.path.dirname(path) or '.')
    settings = evaluation.Settings(
        options.protocol,
        evaluation.chosen(options.metrics, options.protocol),
        read_baseline(options.baseline),
        options.others,
        options.splits,
        options.seed,
    )

    # - read the fixations
    workers = options.workers or len(os.sched_getaffinity(0))
    truth = ground_truth.read(options.fixations, options.fixation_type, options.fixation_filter, workers)
    if options.ground_truth:
        truth.blur_from(options.ground_truth, options.allow_missing)
    skipped = [*truth.problems, *truth.unread.values()]
    if truth.outside:
        say(f'{truth.outside} of {truth.read} points lie outside their image; --self-check says more')
    if options.self_check:
        return self_check(options, truth, settings, workers) or report_skipped(skipped)

    # - score the maps
    files, lacking = find_files(options, truth)
    skipped += lacking
    scores, failed, resized = score(files, truth, settings, workers)
    skipped += failed
    if not scores:
        raise HadToStop(f'none of the {len(files)} maps could be scored: {(failed or skipped)[0]}')
    if resized:
        say(f'{resized} of {len(scores)} maps were resized to their image as the protocol does')

    # - print and write
    report = tables.Report(
        evaluation.described(settings, truth, len(scores), resized),
        settings.metrics,
        scores,
        {'ours': evaluation.summary(scores, settings.metrics)},
        options.compare,
    )
    print(tables.as_markdown(report), end='')
    for path in options.output:
        tables.write(path, report)
    return report_skipped(skipped)


def check(options):
    """Raises CouldNotStart for options that do not go together."""
    if not options.fixations:
        raise CouldNotStart('say where the fixations are: --fixations PATH')
    if not (options.maps or options.snapshots or options.self_check):
        raise CouldNotStart('say what to score: --maps DIR, --snapshots DIR --images PATH, or --self-check')
    if options.maps and options.snapshots:
        raise CouldNotStart('--maps and --snapshots exclude each other')
    if options.snapshots and not options.images:
        raise CouldNotStart('--snapshots needs the images to predict: --images PATH')
    if options.self_check and (options.output or options.compare or options.snapshots):
        raise CouldNotStart('--self-check prints what it found; leave --output, --compare, --snapshots out')
    if options.protocol == 'salicon' and options.ground_truth and not options.self_check:
        raise CouldNotStart('the protocol salicon makes its own blurred maps; leave --ground-truth out')


def read_baseline(text):
    """None for gaussian, else (path, map)."""
    from utils.files import Unreadable
    from utils.maps import read_map

    if text == 'gaussian':
        return None
    try:
        return text, read_map(text)
    except Unreadable as error:
        raise CouldNotStart(f'--baseline: {error}') from None


def find_files(options, truth):
    """Stem -> path of the map of each image, and one sentence for each map or image that lacks the other."""
    from utils.ground_truth import listed
    from utils.maps import find_maps, match

    files, missing, extra = match(truth.images.keys() | truth.unread.keys(), find_maps(options.maps))
    files = {stem: files[stem] for stem in truth.images if stem in files}
    missing = [stem for stem in missing if stem in truth.images]
    if not files:
        raise CouldNotStart(
            f'{options.maps}: no map has the name of an image; its maps are {listed(extra, 2)}, the images '
            f'{listed(truth.images, 2)}'
        )
    if (missing or extra) and not options.allow_missing:
        lacking = [f'no map of {listed(missing)}'] if missing else []
        lacking += [f'no fixations for {listed(extra)}'] if extra else []
        raise CouldNotStart(f'{options.maps}: {"; ".join(lacking)}; --allow-missing scores the others')
    sentences = [f'{stem}: no map of it in {options.maps}' for stem in missing]
    return files, sentences + [f'{path}: no fixations for it in {options.fixations}' for path in extra]


def score(items, truth, settings, workers):
    """Scores maps: dict of stem -> path or array, or pairs of these.

    Returns stem -> metric -> value, a sentence for each map without a score, and how many were resized.
    """
    from functools import partial

    from utils.evaluation import score_item
    from utils.parallel import in_order

    scores, failed, resized = {}, [], 0
    work = partial(score_item, truth=truth, settings=settings)
    found = in_order(work, items.items() if isinstance(items, dict) else items, workers)
    for stem, result, size in progress(found, total=len(items), unit='map', desc='scores'):
        if isinstance(result, str):
            failed.append(result)
        else:
            scores[stem] = result
            resized += size != truth.images[stem].size
    return scores, failed, resized


def self_check(options, truth, settings, workers):
    """Prints what the self-check found; returns SKIPPED if anything is wrong."""
    from utils import self_check
    from utils.evaluation import METRICS
    from utils.files import Unreadable
    from utils.tables import as_lines

    files = find_files(options, truth)[0] if options.maps else None
    try:
        rows, said = self_check.check(truth, settings, files, workers)
    except (Unreadable, ValueError) as error:
        raise CouldNotStart(str(error)) from None
    print(*as_lines(METRICS[settings.protocol], rows), '', sep='\n')
    for verdict, sentence in said:
        print(f'{verdict + ":":8}{sentence}')
    return SKIPPED if any(verdict == self_check.WRONG for verdict, _ in said) else DONE


def report_skipped(skipped):
    """Names what was skipped; returns the exit status."""
    for sentence in skipped:
        say(sentence)
    if skipped:
        say(f'skipped: {len(skipped)}, named above')
    return SKIPPED if skipped else DONE


if __name__ == '__main__':
    run(main)
