#!/usr/bin/env python3
"""Scores saliency maps against fixations, by the MIT benchmark's protocol, SALICON's or MIT/Tuebingen's."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # python -P and -I leave it out

import utils.cluster.options as cluster
import utils.evaluation.options as subjects
from utils.command_line import DONE, SKIPPED, argument_parser, counted, positive, run, say, show
from utils.data_sets.options import add_fixations, add_orientation
from utils.errors import CouldNotStart, HadToStop, Unreadable


def parser():
    parser = argument_parser(
        __doc__, 'Exit status 1: images were skipped, or --self-check found something wrong.'
    )
    option = parser.add_argument
    option('--maps', metavar='PATH', help='saliency maps: a folder, .hdf5 or .zip file (default: none)')
    option(
        '--fixations',
        metavar='PATH',
        help='a data set as it is distributed (see --list-data-sets), a folder of fixation maps (nonzero '
        'where fixated), or a pickle made by 01 (default: none)',
    )
    option('--list-data-sets', action='store_true', help='print which data sets are recognised, and exit')
    add_fixations(parser)
    add_orientation(parser)
    option(
        '--ground-truth',
        metavar='DIR',
        help='folder of blurred maps, or a data set that has them (default: made from the fixations, with '
        "the set's blur, otherwise sigma 19 at 640 x 480, scaled with the image)",
    )
    option('--allow-missing', action='store_true', help='score the others if maps or fixations are missing')
    subjects.add_scores(parser)
    subjects.add_maps(parser)
    subjects.add_tables(parser)
    option(
        '--self-check',
        action='store_true',
        help='score maps with known results on these fixations, and report whatever is out of range',
    )
    subjects.add_snapshots(parser)
    option('--workers', type=positive, metavar='N', help='threads (default: one per processor)')
    cluster.add_scheduler(parser)
    return parser


def main(arguments=None):
    options = parser().parse_args(arguments)
    if options.list_data_sets:
        from utils.data_sets import known

        show(known.table() + '\n')
        return DONE
    subjects.check(options)
    cluster.check(
        options,
        snapshots='predict by 03 on it, and score the maps with --maps',
        self_check='it is done once for a data set, here',
    )
    if not options.snapshots:
        os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')  # our own threads take one image each
    from utils import parallel
    from utils.evaluation import ground_truth, scores, tables
    from utils.files import make_folder

    # - check that the results can be written, before anything is computed
    tables.check_outputs(options.output)
    for path in options.output + ([options.figure] if options.snapshots else []):
        make_folder(os.path.dirname(path) or '.')
    settings = scores.settings_of(options)

    # - read the fixations
    workers = options.workers or parallel.cores()
    truth = ground_truth.read_for(options, workers)
    for sentence in truth.said:
        say(sentence)
    if truth.outside:
        say(f'{truth.outside} of {truth.read} points lie outside their image; --self-check says more')
    skipped = [*truth.problems, *truth.unread.values()]

    # - score, print and write
    if options.self_check:
        status, left_out = self_check(options, truth, settings, workers)
    elif options.snapshots:
        status, left_out = score_snapshots(options, truth, settings, workers)
    else:
        status, left_out = score_maps(options, truth, settings, workers)
    skipped += left_out
    for sentence in skipped:
        say(sentence)
    if skipped:
        say(f'skipped: {len(skipped)}, named above')
    return SKIPPED if skipped else status


# --- a folder of maps ---


def score_maps(options, truth, settings, workers):
    """Scores a folder of maps, prints and writes the tables; returns the status and what was skipped."""
    from utils.evaluation import page, provenance, tables
    from utils.evaluation.scores import columns, described, remarks, score_all, summary

    files, skipped = maps_of(options, truth)
    made_by, pictures = provenance.of_maps(options.maps), None
    if tables.has_page(options.output):
        pictures = page.pictures_of(files, truth, settings, options.images, workers)
    by_size = sorted(files.items(), key=lambda item: truth.images[item[0]].size)  # sizes share sAUC's data
    if cluster.is_asked_for(options):
        from utils.cluster.scoring import score_all as score_there

        scored = score_there(by_size, len(files), truth, settings, options)
    else:
        scored = score_all(by_size, len(files), truth, settings, workers)
    scores, failed, seen = scored
    if not scores and seen['another shape'] == len(failed):  # the maps are otherwise valid: see --stretch
        return SKIPPED, skipped + failed
    if not scores:
        raise HadToStop(f'none of {counted(len(files), "map")} could be scored: {failed[0]}')
    shown = columns(settings, seen)
    scores = {stem: {name: scores[stem][name] for name in shown} for stem in files if stem in scores}
    for sentence in remarks(scores, seen, truth, settings._replace(metrics=shown)):
        say(sentence)
    settings_said = described(settings, truth, len(scores), seen['resized'], made_by)
    summaries = {'ours': summary(scores, shown)}
    report = tables.Report(settings_said, shown, scores, summaries, options.compare, pictures, made_by)
    tables.write_all(options.output, report)
    return DONE, skipped + failed


def maps_of(options, truth):
    """Stem -> path of the map, for each image with fixations; and a sentence for each unmatched file."""
    from utils.evaluation.maps import find_maps, pair

    return pair(find_maps(options.maps), options.maps, truth, options.fixations, options.allow_missing)


# --- the ground truth itself ---


def self_check(options, truth, settings, workers):
    """Prints what the self-check found; the status is SKIPPED if anything is wrong."""
    from utils.evaluation import self_check
    from utils.evaluation.scores import METRICS
    from utils.evaluation.tables import as_lines

    files, skipped = maps_of(options, truth) if options.maps else (None, [])
    try:
        rows, said = self_check.check(truth, settings, files, workers)
    except ValueError as error:
        raise CouldNotStart(str(error)) from None
    lines = [*as_lines(METRICS[settings.protocol], rows), '']
    lines += [f'{verdict + ":":8}{sentence}' for verdict, sentence in said]
    show('\n'.join(lines) + '\n')
    wrong = any(verdict == self_check.WRONG for verdict, _ in said)
    return (SKIPPED if wrong else DONE), skipped


# --- the snapshots of a run ---


def score_snapshots(options, truth, settings, workers):
    """Predicts and scores with every snapshot; writes tables and Figure 3 after each.

    Returns the status and what was skipped.
    """
    from utils import image_sources, weights
    from utils.evaluation import figure3, tables
    from utils.evaluation.maps import pair
    from utils.evaluation.scores import described, score_all, summary
    from utils.training import snapshots

    found = snapshots.find(options.snapshots)
    if not found:
        raise CouldNotStart(
            f'{options.snapshots}: no snapshots in it, named gen_modelWeights0000.npz and so on'
        )
    sources, no_images = image_sources.find([options.images], ignore_orientation=options.ignore_orientation)
    sources = {source.name: source for source in sources}
    sources, skipped = pair(sources, options.images, truth, options.fixations, options.allow_missing)
    skipped += no_images
    stem, extension = os.path.splitext(options.figure)
    stem = stem if extension in ('.png', '.pdf') else options.figure
    predictor, summaries = None, {}
    for epoch, path in found.items():
        unread: list = []
        try:
            arrays = weights.read_generator(path)
            say(f'epoch {epoch}: {path}')
            predictor = predictor or new_predictor(arrays, options)
            predictor.set_weights(arrays)
            maps = predicted_maps(sources, predictor, path, options.batch_size, truth, unread)
            scores, failed, _ = score_all(maps, len(sources), truth, settings, workers)
        except (Unreadable, HadToStop) as error:  # a broken snapshot, or one of a run that diverged
            skipped.append(str(error))
            continue
        skipped += [sentence for sentence in unread + failed if sentence not in skipped]
        summaries[epoch] = summary(scores, settings.metrics)
        settings_said = described(settings, truth, len(scores))
        report = tables.Report(settings_said, settings.metrics, {}, summaries, options.compare)
        for output in options.output:
            tables.write(output, report)
        figure3.draw(stem, summaries, settings.metrics, published=options.protocol == 'mit')
    if not summaries:
        raise HadToStop(f'none of the snapshots could be scored: {skipped[0]}')
    show(tables.as_markdown(report))
    say(f'drawn: {stem}.png and {stem}.pdf')
    return DONE, skipped


def new_predictor(arrays, options):
    from models.prediction import Predictor

    return Predictor(arrays, *options.size)


def predicted_maps(sources, predictor, weights, batch_size, truth, unread):
    """Yields (stem, map as 03 makes it); adds to `unread` a sentence for each image without a map."""
    from utils.predicting import predictions
    from utils.saliency_maps import finish

    stems = {source: stem for stem, source in sources.items()}
    for source, _, saliency_map in predictions(
        sources.values(), predictor, weights, batch_size, lambda _, why: unread.append(why)
    ):
        stem = stems[source]
        yield stem, finish(saliency_map, *truth.images[stem].size)


if __name__ == '__main__':
    run(main)
