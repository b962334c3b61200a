#!/usr/bin/env python3
"""Trains SalGAN: the generator alone on the content loss (bce), or against the discriminator (salgan)."""

import contextlib
import itertools
import os
import sys
import time
from typing import Any, NamedTuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # python -P and -I leave it out

from utils.command_line import (
    DONE,
    INTERRUPTED,
    argument_parser,
    counted,
    network_size,
    number,
    positive,
    positive_number,
    progress,
    run,
    say,
    whole,
)
from utils.errors import CouldNotStart, HadToStop
from utils.training import options as modes
from utils.training.options import COSTS, LEARNING_RATE


def parser():
    parser = argument_parser(
        __doc__,
        'Ctrl-C stops after the current update and writes a checkpoint for --resume; a second Ctrl-C '
        'stops at once. Exit status: 0 trained; 2 could not start; 3 had to stop (a cost that is not finite, '
        'a full disk), with the last snapshot unchanged; 130 interrupted.',
    )
    option = parser.add_argument
    option(
        'mode',
        nargs='?',
        choices=['bce', 'salgan', 'plot'],
        default='salgan',
        help="what to train (default: salgan); plot draws a run's history.csv into curves.png",
    )
    option('folder', nargs='?', metavar='DIR', help='for plot: the folder of the run (default: --output)')
    option(
        '--train',
        nargs='+',
        metavar='FILE',
        default=['data/trainData.pickle'],
        help='samples made by 01; several files are joined (default: data/trainData.pickle)',
    )
    option('--validation', metavar='FILE', default='data/validationData.pickle', help='samples to watch')
    option('--output', metavar='DIR', default='snapshots', help='folder for snapshots, checkpoints, history')
    modes.add_weights(parser)
    option('--loss', choices=['bce', 'mse'], default='bce', help='content loss')
    option(
        '--downsample',
        type=int,
        choices=[1, 2, 4, 8],
        default=4,
        help='factor by which maps are average-pooled before the content loss',
    )
    option('--epochs', type=positive, metavar='N', default=301, help='total number of epochs')
    option('--batch-size', type=positive, metavar='N', default=32, help='images per update')
    option(
        '--learning-rate',
        type=positive_number,
        metavar='X',
        help=f'for both networks; depends on the mode {modes.by_mode(LEARNING_RATE)}',
    )
    option(
        '--alpha',
        type=number,
        metavar='X',
        default=0.05,
        help="the content loss's weight in the objective of salgan",
    )
    option(
        '--weight-decay',
        type=number,
        metavar='X',
        default=0.0,
        help='factor of the sum of squares added to each objective; 1e-4 in the paper, none in its code',
    )
    option('--size', type=network_size, default='256x192', help="the networks' input, width x height")
    option('--seed', type=whole, metavar='N', default=0, help='for data order, initial weights and sampling')
    modes.add_run(parser)
    return parser


def main(arguments=None, build=None):
    """`build` replaces `models.start.build`."""
    options = parser().parse_args(arguments)
    if options.mode == 'plot':
        from utils.training import history

        say(f'drawn: {history.plot(options.folder or options.output)}')
        return DONE
    modes.complete(options)
    from utils.training import checkpoint, run_record, start
    from utils.training.data import read

    # - where the run stands; the paper's bootstrap is a separate run that comes first
    found = run_record.open_run(options)
    if found and found.state['epoch'] >= options.epochs:
        say(f'{options.output}: all {options.epochs} epochs are done; there is nothing to do')
        return DONE
    bootstrap = modes.of_bootstrap(options) if options.bootstrap_epochs and not found else None
    found_bootstrap = run_record.open_run(bootstrap) if bootstrap else None

    # - the networks' initial weights, and the samples
    weights = {} if found else start.read(options, with_generator=not found_bootstrap)
    samples, fingerprint = read(options.train, *options.size)
    validation, fingerprint_of_validation = read([options.validation], *options.size)
    if len(samples) < options.batch_size:
        raise CouldNotStart(
            f'{counted(len(samples), "training sample")}, too few for one batch of {options.batch_size}: '
            'give a smaller --batch-size'
        )

    # - compare all of it with the record of the run, and write the record
    data = {'training data': fingerprint, 'validation data': fingerprint_of_validation}
    found = run_record.accept(options, found, versions(), data)
    if bootstrap:
        found_bootstrap = run_record.accept(bootstrap, found_bootstrap, versions(), data)

    # - train
    if bootstrap:
        status = train_run(bootstrap, found_bootstrap, weights, samples, validation, build)
        if status != DONE:
            return status
        generator = checkpoint.newest(bootstrap.output).weights('generator')
        weights = {**weights, 'generator': generator, 'encoder': None}
    return train_run(options, found, weights, samples, validation, build)


def versions():
    """Versions of everything that affects the numbers."""
    import platform
    from importlib.metadata import version

    from backend import theano

    return {
        'Python': '.'.join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in ('numpy', 'Theano', 'Lasagne')},
        **{name: getattr(theano.config, name) for name in ('device', 'floatX')},
        'SALGAN_CONV': os.environ.get('SALGAN_CONV', 'unset'),
    }


class Training(NamedTuple):
    """A run under way."""

    options: Any  # Namespace, as the parser gives it
    model: Any  # ModelBCE or ModelSALGAN
    state: Any  # utils.training.state.State: its progress
    samples: Any  # sequence of samples: the training set
    measured: Any  # sequence of samples of the validation set, measured after every epoch
    watched: Any  # the sample of the validation set that is predicted at every snapshot
    board: Any = None  # utils.training.history.Board, with --tensorboard


def train_run(options, found, weights, samples, validation, build=None):
    """Trains one mode from its current state to its last epoch; returns the exit status."""
    import numpy as np

    from models import parameters, start
    from utils.training import monitor
    from utils.training.history import Board
    from utils.training.interrupts import held_back
    from utils.training.state import State, random_streams

    # - the networks, resumed or as they start
    order, initial, sampling = random_streams(options.seed)
    model = (build or start.build)(options, weights, initial, found)
    state = State(order)
    if found:
        state = State.from_json(found.state)
        try:
            parameters.put(model, found.arrays)
        except ValueError as error:
            raise CouldNotStart(f'{options.output}: {error}; it cannot be resumed') from None
        say(f'{options.output}: continuing after update {state.updates}, in epoch {state.epoch}')
    if state.epoch >= options.epochs:
        return DONE

    # - the watched and the measured samples stay the same throughout
    watched = validation[sampling.randint(len(validation))]
    chosen = np.sort(sampling.permutation(len(validation))[: options.validation_images])
    measured = [validation[i] for i in chosen]
    if not state.updates:
        monitor.write_truth(options.output, watched)

    say('compiling the networks')  # before Ctrl-C is held back
    model.compile()
    with contextlib.ExitStack() as stack:
        board = stack.enter_context(Board(options.output, state.epoch)) if options.tensorboard else None
        interrupted = stack.enter_context(held_back())
        # note: deviation 23: the original shuffles one list again and again, unseeded
        orders = (state.random.permutation(len(samples)) for _ in itertools.count())
        return train(Training(options, model, state, samples, measured, watched, board), orders, interrupted)


def train(training, orders, interrupted):
    """Runs the epochs from the current state on; each batch trains one network. Returns the exit status.

    Parameters
    ----------
    training : Training
    orders : iterator over sequences of int
        The order in which each epoch takes the samples.
    interrupted : threading.Event
        Set by Ctrl-C.
    """
    import numpy as np

    from backend import memory, theano
    from utils.training.data import batches

    options, model, state, samples = training[:4]
    size, names = options.batch_size, COSTS[options.mode]
    whole_batches = len(samples) // size
    done = state.epoch * whole_batches + state.batches
    with progress(total=options.epochs * whole_batches, initial=done, unit='update') as bar:
        while state.epoch < options.epochs:
            if not state.batches:
                state.begin_epoch(next(orders), len(names))
            bar.set_description(f'epoch {state.epoch}')
            began = time.monotonic()
            for indices, images, maps in batches(
                samples, state.order, size, state.batches, theano.config.floatX
            ):
                # updates count from 1, across epochs: odd ones train D, even ones G
                trains_D = options.mode == 'salgan' and (state.updates + 1) % 2 == 1
                function = model.D_trainFunction if trains_D else model.G_trainFunction
                costs = np.atleast_1d(memory.call(function, images, maps))
                check_finite(training, costs, 'discriminator' if trains_D else 'generator', indices)
                state.add_update(costs, time.monotonic() - began)
                began = time.monotonic()
                bar.set_postfix({name: f'{cost:.4f}' for name, cost in zip(names, costs)}, refresh=False)
                bar.update()
                if interrupted.is_set():
                    break
            else:
                finish_epoch(training)
            if interrupted.is_set() and state.epoch < options.epochs:
                save_checkpoint(training)
                say(
                    f'{options.output}: interrupted after update {state.updates}; --resume continues from '
                    'there'
                )
                return INTERRUPTED
    return DONE


def check_finite(training, costs, network, indices):
    """Raises HadToStop if an update gave a cost, or left a parameter, that is not finite."""
    import numpy as np

    from models import parameters
    from utils.training.data import name

    if not np.isfinite(costs).all():
        what = f'the cost is {", ".join(f"{cost:g}" for cost in costs)}'
    elif not parameters.are_finite(training.model, network):
        what = 'it leaves a parameter of the network that is not finite'
    else:
        return
    batch = ', '.join(name(training.samples, i) for i in indices)
    raise HadToStop(
        f'update {training.state.updates + 1}, in epoch {training.state.epoch}: {what}. Its batch: {batch}. '
        f'The snapshots and checkpoints in {training.options.output} are as they were: look at these '
        'samples, or continue from the last checkpoint with a smaller --learning-rate, --resume and --force'
    )


def finish_epoch(training):
    """Ends an epoch: writes its row of the history and, at the chosen interval, a snapshot."""
    from models import parameters
    from utils.training import history, monitor, snapshots

    options, model, state = training[:3]
    # - the row: the mean costs, as the original printed them, and the scores of the validation samples
    means = [total / state.batches for total in state.sums]
    row = {'epoch': state.epoch, 'updates': state.updates, **dict(zip(COSTS[options.mode], means))}
    row['seconds'] = round(state.seconds, 3)
    row['images_per_second'] = round(state.batches * options.batch_size / max(state.seconds, 1e-3), 3)
    predict = model.predictFunction
    row.update(
        monitor.measure(predict, training.measured, options.batch_size, options.loss, options.downsample)
    )
    say(', '.join(f'{name.replace("_", " ")} {value:.5g}' for name, value in row.items()))

    # - the snapshot; its checkpoint comes last, when everything that it refers to has been written
    takes_snapshot = state.epoch % options.snapshot_every == 0
    shown = {}
    if takes_snapshot:
        snapshots.save(options.output, state.epoch, parameters.values(model))
        if options.keep:
            snapshots.prune(options.output, options.keep)
        predicted = monitor.write_prediction(options.output, state.epoch, predict, training.watched)
        shown = {
            'image': training.watched.image.data,
            'truth': training.watched.saliency.data,
            'prediction': predicted,
        }
    if training.board:
        training.board.add(row, shown)
    state.end_epoch(row)
    history.write(options.output, state.history)
    if takes_snapshot or state.epoch == options.epochs:
        save_checkpoint(training)


def save_checkpoint(training):
    """Everything that --resume needs."""
    from models import parameters
    from utils.training import checkpoint

    arrays = parameters.take(training.model)
    checkpoint.save(training.options.output, training.state.updates, training.state.to_json(), arrays)


if __name__ == '__main__':
    run(main)
