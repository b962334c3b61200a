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
    network_size,
    positive,
    printable,
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
        action='extend',
        default=[],
        metavar='TABLE',
        choices=['table2', 'table3', 'table4-salicon', 'table4-mit300'],
        help="the paper's rows beside ours: table2, table3, table4-salicon, table4-mit300 (default: none)",
    )
    option(
        '--output',
        nargs='+',
        action='extend',
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
    option('--size', type=network_size, default='256x192', help="the network's input, for --snapshots")
    option('--batch-size', type=positive, default=1, metavar='N', help='images at a time, for --snapshots')
    option('--figure', metavar='STEM', default='figure3', help='where to draw it: STEM.png and STEM.pdf')
    option('--workers', type=positive, metavar='N', help='threads (default: one a processor)')
    return parser


def main():
    options = parser().parse_args()
    check(options)
    if not options.snapshots:
        os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')  # the threads are ours, an image each
    from utils.evaluation import ground_truth, published, tables
    from utils.evaluation.scores import Settings, chosen
    from utils.files import make_folder

    # - see that the results can be written, before anything is computed
    tables.check_outputs(options.output)
    for path in options.output + ([options.figure] if options.snapshots else []):
        make_folder(os.path.dirname(path) or '.')
    names = options.metrics
    if options.snapshots and options.protocol == 'mit' and not names:
        names = ','.join(published.FIGURE3_METRICS)
    settings = Settings(
        options.protocol,
        chosen(names, options.protocol),
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
    if truth.outside:
        say(f'{truth.outside} of {truth.read} points lie outside their image; --self-check says more')
    skipped = [*truth.problems, *truth.unread.values()]

    # - score, print and write
    work = self_check if options.self_check else score_snapshots if options.snapshots else score_maps
    status, left_out = work(options, truth, settings, workers)
    skipped += left_out
    for sentence in skipped:
        say(sentence)
    if skipped:
        say(f'skipped: {len(skipped)}, named above')
    return SKIPPED if skipped else status


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
    from utils.evaluation.maps import read_map
    from utils.files import Unreadable

    if text == 'gaussian':
        return None
    try:
        return text, read_map(text)
    except Unreadable as error:
        raise CouldNotStart(f'--baseline: {error}') from None


# --- a folder of maps ---


def score_maps(options, truth, settings, workers):
    """Scores a folder of maps, prints and writes the tables; returns the status and what was skipped."""
    from utils.evaluation import tables
    from utils.evaluation.maps import find_maps
    from utils.evaluation.scores import described, summary

    files, skipped = pair(find_maps(options.maps), options.maps, truth, options)
    scores, failed, resized = score(files.items(), len(files), truth, settings, workers)
    if not scores:
        raise HadToStop(f'none of the {len(files)} maps could be scored: {failed[0]}')
    if resized:
        say(f'{resized} of {len(scores)} maps were resized to their image as the protocol does')
    summaries = {'ours': summary(scores, settings.metrics)}
    settings_said = described(settings, truth, len(scores), resized)
    report = tables.Report(settings_said, settings.metrics, scores, summaries, options.compare)
    print(printable(tables.as_markdown(report)), end='')
    for path in options.output:
        tables.write(path, report)
    return DONE, skipped + failed


def pair(files, folder, truth, options):
    """Stem -> the file of each image with fixations; and a sentence for each image or file without the other.

    Raises CouldNotStart where there are such, and --allow-missing is not given.
    """
    from utils.evaluation.ground_truth import listed
    from utils.evaluation.maps import match

    paired, missing, extra = match(truth.images.keys() | truth.unread.keys(), files)
    paired = {stem: paired[stem] for stem in truth.images if stem in paired}
    missing = [stem for stem in missing if stem in truth.images]
    if not paired:
        raise CouldNotStart(
            f'{folder}: nothing in it has the name of an image with fixations; in it are {listed(extra, 2)}, '
            f'fixations are of {listed(truth.images, 2)}'
        )
    if (missing or extra) and not options.allow_missing:
        lacking = [f'nothing in it for {listed(missing)}'] if missing else []
        lacking += [f'no fixations for {listed(extra)}'] if extra else []
        raise CouldNotStart(f'{folder}: {"; ".join(lacking)}; --allow-missing scores the others')
    sentences = [f'{stem}: nothing for it in {folder}' for stem in missing]
    return paired, sentences + [f'{stem}: no fixations for it in {options.fixations}' for stem in extra]


def score(items, count, truth, settings, workers):
    """Scores `count` items, (stem, map): see `utils.evaluation.scores.score_item`.

    Returns stem -> metric -> value, a sentence for each map without a score, and how many were resized.
    """
    from functools import partial

    from utils.evaluation.scores import score_item
    from utils.parallel import in_order

    scores, failed, resized = {}, [], 0
    found = in_order(partial(score_item, truth=truth, settings=settings), items, workers)
    for stem, result, size in progress(found, total=count, unit='map', desc='scores'):
        if isinstance(result, str):
            failed.append(result)
        else:
            scores[stem] = result
            resized += size != truth.images[stem].size
    return scores, failed, resized


def self_check(options, truth, settings, workers):
    """Prints what the self-check found; the status is SKIPPED if anything is wrong."""
    from utils.evaluation import self_check
    from utils.evaluation.maps import find_maps
    from utils.evaluation.scores import METRICS
    from utils.evaluation.tables import as_lines
    from utils.files import Unreadable

    files, skipped = None, []
    if options.maps:
        files, skipped = pair(find_maps(options.maps), options.maps, truth, options)
    try:
        rows, said = self_check.check(truth, settings, files, workers)
    except (Unreadable, ValueError) as error:
        raise CouldNotStart(str(error)) from None
    lines = [*as_lines(METRICS[settings.protocol], rows), '']
    lines += [f'{verdict + ":":8}{sentence}' for verdict, sentence in said]
    print(printable('\n'.join(lines)))
    wrong = any(verdict == self_check.WRONG for verdict, _ in said)
    return (SKIPPED if wrong else DONE), skipped


# --- the snapshots of a run ---


def score_snapshots(options, truth, settings, workers):
    """Predicts and scores with every snapshot; writes tables and Figure 3 after each.

    Returns the status and what was skipped.
    """
    from utils import image_sources, weights
    from utils.evaluation import figure3, tables
    from utils.evaluation.scores import described, summary

    sources = image_sources.find([options.images])
    sources = {source.name: source for source in sources}
    sources, skipped = pair(sources, options.images, truth, options)
    stem, extension = os.path.splitext(options.figure)
    stem = stem if extension in ('.png', '.pdf') else options.figure
    predictor, summaries = None, {}
    for epoch, path in find_snapshots(options.snapshots).items():
        try:
            arrays = weights.read_generator(path)
        except weights.WeightsError as error:
            skipped.append(str(error))
            continue
        say(f'epoch {epoch}: {path}')
        if predictor is None:
            from models.prediction import Predictor

            predictor = Predictor(arrays, *options.size)
        predictor.set_weights(arrays)
        maps = predictions(sources, predictor, options, truth)
        scores, failed, _ = score(maps, len(sources), truth, settings, workers)
        skipped += [sentence for sentence in failed if sentence not in skipped]
        summaries[epoch] = summary(scores, settings.metrics)
        settings_said = described(settings, truth, len(scores), 0)
        report = tables.Report(settings_said, settings.metrics, {}, summaries, options.compare)
        for output in options.output:
            tables.write(output, report)
        figure3.draw(stem, summaries, settings.metrics, published=options.protocol == 'mit')
    if not summaries:
        raise HadToStop(f'none of the snapshots could be scored: {skipped[0]}')
    print(printable(tables.as_markdown(report)), end='')
    say(f'drawn: {stem}.png and {stem}.pdf')
    return DONE, skipped


def find_snapshots(folder):
    """Epoch -> path of the generator's weights of each snapshot, by epoch."""
    import re

    try:
        names = os.listdir(folder)
    except OSError as error:
        raise CouldNotStart(f'{folder}: {error.strerror}') from None
    found = {}
    for name in names:
        match = re.fullmatch(r'gen_modelWeights(\d+)\.npz', name)
        if match:
            found[int(match.group(1))] = os.path.join(folder, name)
    if not found:
        raise CouldNotStart(f'{folder}: no snapshots in it, named gen_modelWeights0000.npz and so on')
    return dict(sorted(found.items()))


def predictions(sources, predictor, options, truth):
    """Gives (stem, saliency map, made as 03 makes it) of every image, or the error that came in its place."""
    import itertools

    import numpy as np

    from utils.files import Unreadable
    from utils.images import shrink
    from utils.parallel import in_order
    from utils.saliency_maps import finish

    def read(item):
        stem, source = item
        try:
            return stem, shrink(source.read()[0], *options.size)
        except Unreadable as error:
            return stem, error

    images = in_order(read, sources.items(), 2, ahead=options.batch_size + 2)
    while True:
        batch = list(itertools.islice(images, options.batch_size))
        if not batch:
            return
        good = [(stem, image) for stem, image in batch if isinstance(image, np.ndarray)]
        maps = predictor(np.stack([image for _, image in good])) if good else []
        made = {stem: finish(found, *truth.images[stem].size) for (stem, _), found in zip(good, maps)}
        yield from ((stem, made.get(stem, image)) for stem, image in batch)


if __name__ == '__main__':
    run(main)
