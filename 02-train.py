#!/usr/bin/env python3
"""Trains SalGAN: the generator alone on the content loss (bce), or against the discriminator (salgan)."""

import argparse
import contextlib
import itertools
import os
import time
from typing import Any

from utils.command_line import (
    DONE,
    INTERRUPTED,
    CouldNotStart,
    HadToStop,
    argument_parser,
    network_size,
    positive,
    progress,
    run,
    say,
    whole,
)

# By mode, as in the original: the learning rate, epochs between two snapshots, and what a batch returns.
LEARNING_RATE = {'bce': 0.001, 'salgan': 3e-4}
SNAPSHOT_EVERY = {'bce': 5, 'salgan': 3}
COSTS = {'bce': ['loss'], 'salgan': ['G_objective', 'D_objective', 'content_loss']}


def parser():
    parser = argument_parser(
        __doc__,
        'Ctrl-C ends after the current update with a checkpoint, from which --resume goes on; a second one '
        'ends at once. Exit status: 0 trained; 2 could not start; 3 had to stop (a cost that is not finite, '
        'a full disk), with the last snapshot as it was; 130 interrupted.',
    )
    option = parser.add_argument
    option(
        'mode',
        nargs='?',
        choices=['bce', 'salgan', 'plot'],
        default='salgan',
        help="what to train (default: salgan); plot draws a run's history.csv into curves.png",
    )
    option('folder', nargs='?', metavar='DIR', help='of plot only: the folder of the run (default: --output)')
    option(
        '--train',
        nargs='+',
        metavar='FILE',
        default=['data/trainData.pickle'],
        help='samples made by 01; several files are joined (default: data/trainData.pickle)',
    )
    option('--validation', metavar='FILE', default='data/validationData.pickle', help='samples to watch')
    option(
        '--validation-images',
        type=whole,
        metavar='N',
        default=100,
        help='of them, how many to measure after every epoch, drawn once',
    )
    option('--output', metavar='DIR', default='snapshots', help='folder for snapshots, checkpoints, history')
    option(
        '--encoder',
        metavar='WHAT',
        default='vgg16',
        help='what the encoder starts from: vgg16, random, or a .npz that begins with its 26 arrays',
    )
    option('--vgg16', metavar='FILE', default='weights/vgg16.pkl', help="VGG-16 of Lasagne's model zoo")
    option('--generator', metavar='FILE', help='.npz to start the whole generator from (default: --encoder)')
    option('--discriminator', metavar='FILE', help='.npz to start the discriminator from (default: random)')
    option('--loss', choices=['bce', 'mse'], default='bce', help='content loss')
    option(
        '--downsample',
        type=int,
        choices=[1, 2, 4, 8],
        default=4,
        help='factor by which maps are average-pooled before the content loss',
    )
    option(
        '--bootstrap-epochs',
        type=whole,
        metavar='N',
        default=0,
        help='epochs of bce, in OUTPUT/bootstrap, that salgan then starts from; 15 in the paper',
    )
    option('--epochs', type=positive, metavar='N', default=301, help='epochs in all')
    option('--batch-size', type=positive, metavar='N', default=32, help='images an update')
    option(
        '--learning-rate',
        type=positive_number,
        metavar='X',
        help='of the mode, for both networks (default: 0.001 for bce, 0.0003 for salgan)',
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
        help='times the sum of squares, added to each objective; 1e-4 in the paper, none in its code',
    )
    option(
        '--snapshot-every',
        type=positive,
        metavar='N',
        help='epochs between two snapshots, the first after epoch 0 (default: 5 for bce, 3 for salgan)',
    )
    option('--keep', type=positive, metavar='N', help='snapshots to keep, the newest (default: all)')
    option('--size', type=network_size, default='256x192', help="the networks' input, width x height")
    option('--seed', type=whole, metavar='N', default=0, help='of data order, initial weights and sampling')
    option('--resume', action='store_true', help='go on from the newest whole checkpoint in --output')
    option('--force', action='store_true', help='with --resume: go on with other settings, versions or data')
    option(
        '--tensorboard', action='store_true', help='scalars and images for TensorBoard, in OUTPUT/tensorboard'
    )
    return parser


def number(text):
    """A finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of at least 0')
    return value


def positive_number(text):
    """A finite number above 0."""
    if not number(text):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
    return number(text)


def main():
    options = parser().parse_args()
    if options.mode == 'plot':
        from utils.training import history

        say(f'drawn: {history.plot(options.folder or options.output)}')
        return DONE
    complete(options)
    from utils.training import checkpoint, run_record
    from utils.training.data import read

    # - where the run stands; the paper's bootstrap is a run of its own that comes before
    found = run_record.open_run(options)
    if found and found[0]['epoch'] >= options.epochs:
        say(f'{options.output}: all {options.epochs} epochs are done; there is nothing to do')
        return DONE
    bootstrap = bootstrap_options(options) if options.bootstrap_epochs and not found else None
    found_bootstrap = run_record.open_run(bootstrap) if bootstrap else None

    # - what the networks start from, and the samples
    start = {} if found else starting_weights(options, with_generator=not found_bootstrap)
    samples, fingerprint = read(options.train, *options.size)
    validation, fingerprint_of_validation = read([options.validation], *options.size)
    if len(samples) < options.batch_size:
        raise CouldNotStart(
            f'{len(samples)} training samples do not fill one batch of {options.batch_size}: '
            'give a smaller --batch-size'
        )

    # - hold it all against what the run was made with, and keep that
    data = {'training data': fingerprint, 'validation data': fingerprint_of_validation}
    for each, where in ((options, found), (bootstrap, found_bootstrap)):
        updates = where[0]['updates'] if where else None
        if each and run_record.keep(each, versions(), data, updates) and where:
            where[0]['batches'] = 0  # something is different: the epoch that was under way begins anew

    # - train
    if bootstrap:
        status = train_run(bootstrap, found_bootstrap, start, samples, validation)
        if status != DONE:
            return status
        _, arrays = checkpoint.newest(bootstrap.output)
        start = {**start, 'generator': [arrays[f'generator_{i:02d}'] for i in range(54)], 'encoder': None}
    return train_run(options, found, start, samples, validation)


def versions():
    """Of all that has a hand in the numbers."""
    import platform
    from importlib.metadata import version

    from backend import theano

    return {
        'Python': '.'.join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in ('numpy', 'Theano', 'Lasagne')},
        **{name: getattr(theano.config, name) for name in ('device', 'floatX')},
        'SALGAN_CONV': os.environ.get('SALGAN_CONV', 'unset'),
    }


def complete(options):
    """Fills in what depends on the mode, and refuses options that do not go together."""
    if options.folder:
        raise CouldNotStart(f'{options.folder}: only plot takes a folder; name the output with --output')
    if options.mode == 'bce' and (options.bootstrap_epochs or options.discriminator):
        raise CouldNotStart(
            '--bootstrap-epochs and --discriminator belong to salgan; bce has no discriminator'
        )
    if options.force and not options.resume:
        raise CouldNotStart('--force goes with --resume; it never overwrites a run: choose another --output')
    options.learning_rate = options.learning_rate or LEARNING_RATE[options.mode]
    options.snapshot_every = options.snapshot_every or SNAPSHOT_EVERY[options.mode]


def bootstrap_options(options):
    """The options of the paper's bootstrap: bce with its own learning rate and rhythm, beside the run."""
    changed = {
        'mode': 'bce',
        'output': os.path.join(options.output, 'bootstrap'),
        'epochs': options.bootstrap_epochs,
        'bootstrap_epochs': 0,
        'learning_rate': LEARNING_RATE['bce'],
        'snapshot_every': SNAPSHOT_EVERY['bce'],
        'discriminator': None,
    }
    return argparse.Namespace(**{**vars(options), **changed})


def starting_weights(options, with_generator):
    """The arrays that the networks start from, read before anything is computed: 'generator' or 'encoder',
    and 'discriminator'; what is not there starts at random."""
    from utils import weights
    from utils.training import vgg16_file

    start = {}
    if not with_generator:
        pass
    elif options.generator:
        start['generator'] = weights.read_generator(options.generator)
    elif options.encoder == 'vgg16':
        if not os.path.exists(options.vgg16):
            raise CouldNotStart(
                f'{options.vgg16}: no such file, and the encoder starts from it. Fetch it by `python '
                'weights/fetch.py vgg16.pkl`, or name it with --vgg16 FILE; or start from other weights with '
                '--generator FILE.npz or --encoder FILE.npz, or at random with --encoder random'
            )
        start['encoder'] = vgg16_file.read(options.vgg16)
    elif options.encoder != 'random':
        start['encoder'] = weights.read_encoder(options.encoder)
    if options.discriminator:
        start['discriminator'] = weights.read_discriminator(options.discriminator, *options.size)
    return start


def train_run(options, found, start, samples, validation):
    """Trains one mode from where it stands to its last epoch; gives the exit status."""
    import numpy as np

    from utils.training import checkpoint, monitor
    from utils.training.interrupts import held_back
    from utils.training.state import State, random_streams

    # - the networks, as they were or as they start
    order, initial, sampling = random_streams(options.seed)
    model = build(options, start, initial, found)
    state = State(order)
    if found:
        state = State.from_json(found[0])
        try:
            checkpoint.put(model, found[1])
        except ValueError as error:
            raise CouldNotStart(f'{options.output}: {error}; it cannot be gone on with') from None
        say(f'{options.output}: going on after update {state.updates}, in epoch {state.epoch}')
    if state.epoch >= options.epochs:
        return DONE

    # - the sample that is watched and those that are measured are the same throughout
    watched = validation[sampling.randint(len(validation))]
    chosen = np.sort(sampling.permutation(len(validation))[: options.validation_images])
    measured = [validation[i] for i in chosen]
    if not state.updates:
        monitor.write_truth(options.output, watched)

    say('compiling the networks')  # before Ctrl-C is held back
    model.predictFunction, model.G_trainFunction  # noqa: B018
    if options.mode == 'salgan':
        model.D_trainFunction  # noqa: B018
    with held_back() as interrupted:
        # note: deviation 23: the original shuffles one list again and again, unseeded
        orders = (state.random.permutation(len(samples)) for _ in itertools.count())
        return train(options, model, state, samples, orders, measured, watched, interrupted)


def build(options, start, initial, found):
    """The model, with the weights that it starts from; random ones come from the RandomState `initial`."""
    from backend import lasagne
    from models.model_bce import ModelBCE
    from models.model_salgan import ModelSALGAN
    from utils.weights import set_values

    lasagne.random.set_rng(initial)
    (width, height), size, rate = options.size, options.batch_size, options.learning_rate
    keywords = {name: getattr(options, name) for name in ('loss', 'downsample', 'weight_decay')}
    model: Any
    if options.mode == 'bce':
        model = ModelBCE(width, height, size, rate, **keywords)
    else:
        units = fc4_units(start, found)
        model = ModelSALGAN(width, height, size, rate, rate, options.alpha, fc4_units=units, **keywords)
    for name, layer in (('generator', 'output'), ('encoder', 'conv5_3')):
        if start.get(name):
            set_values(model.net[layer], start[name])
    if options.mode == 'salgan' and start.get('discriminator'):
        set_values(model.discriminator['prob'], start['discriminator'])
    return model


def fc4_units(start, found):
    """Units of the discriminator's fc4: 60 in the released weights, 100 in the paper and the code."""
    if found and 'discriminator_14' in found[1]:
        return found[1]['discriminator_14'].shape[1]
    return start['discriminator'][14].shape[1] if start.get('discriminator') else 100


def train(options, model, state, samples, orders, measured, watched, interrupted):
    """The epochs, from where `state` stands: each batch trains one network. Gives the exit status.

    Parameters
    ----------
    options : Namespace
        As the parser gives it.
    model : ModelBCE or ModelSALGAN
    state : utils.training.state.State
    samples : sequence of samples
    orders : iterator over sequences of int
        The order in which each epoch takes the samples.
    measured : sequence of samples
        Of the validation set, measured after every epoch.
    watched : sample
        Of the validation set, predicted at every snapshot.
    interrupted : threading.Event
        Set by Ctrl-C.
    """
    import numpy as np

    from backend import memory, theano
    from utils.training.data import batches
    from utils.training.history import Board

    size, names = options.batch_size, COSTS[options.mode]
    whole_batches = len(samples) // size
    with contextlib.ExitStack() as stack:
        board = stack.enter_context(Board(options.output, state.epoch)) if options.tensorboard else None
        done = state.epoch * whole_batches + state.batches
        bar = stack.enter_context(progress(total=options.epochs * whole_batches, initial=done, unit='update'))
        while state.epoch < options.epochs:
            if not state.batches:
                state.begin_epoch(next(orders), len(names))
            bar.set_description(f'epoch {state.epoch}')
            began = time.monotonic()
            for indices, images, maps in batches(
                samples, state.order, size, state.batches, theano.config.floatX
            ):
                # updates count from 1 on, across epochs: an odd one trains D, an even one G
                trains_D = options.mode == 'salgan' and (state.updates + 1) % 2 == 1
                function = model.D_trainFunction if trains_D else model.G_trainFunction
                costs = np.atleast_1d(memory.call(function, images, maps))
                check_finite(options, state, costs, model, trains_D, samples, indices)
                state.add_update(costs, time.monotonic() - began)
                began = time.monotonic()
                bar.set_postfix({name: f'{cost:.4f}' for name, cost in zip(names, costs)}, refresh=False)
                bar.update()
                if interrupted.is_set():
                    break
            else:
                finish_epoch(options, model, state, measured, watched, board)
            if interrupted.is_set() and state.epoch < options.epochs:
                save_checkpoint(options, model, state)
                say(
                    f'{options.output}: interrupted after update {state.updates}; --resume goes on from there'
                )
                return INTERRUPTED
    return DONE


def check_finite(options, state, costs, model, trains_D, samples, indices):
    """Raises HadToStop where an update gave a cost, or left a parameter, that is not finite."""
    import numpy as np
    from lasagne.layers import get_all_params

    from utils.training.data import name

    layer = model.discriminator['prob'] if trains_D else model.net['output']
    if not np.isfinite(costs).all():
        what = f'the cost is {", ".join(f"{cost:g}" for cost in costs)}'
    else:
        with np.errstate(all='ignore'):
            sums = [p.get_value(borrow=True).sum() for p in get_all_params(layer, trainable=True)]
        if np.isfinite(sums).all():
            return
        what = 'it leaves a parameter of the network that is not finite'
    batch = ', '.join(name(samples, i) for i in indices)
    raise HadToStop(
        f'update {state.updates + 1}, in epoch {state.epoch}: {what}. Its batch: {batch}. The snapshots and '
        f'checkpoints in {options.output} are as they were: look at these samples, or go on from the last '
        'checkpoint with a smaller --learning-rate, --resume and --force'
    )


def finish_epoch(options, model, state, measured, watched, board):
    """What follows an epoch's last batch: its row of the history, and now and then a snapshot."""
    from utils.training import history, monitor, snapshots

    # - the row: the means of the costs, as the original printed them, and what the validation samples say
    means = [total / state.batches for total in state.sums]
    row = {'epoch': state.epoch, 'updates': state.updates, **dict(zip(COSTS[options.mode], means))}
    row['seconds'] = round(state.seconds, 3)
    row['images_per_second'] = round(state.batches * options.batch_size / max(state.seconds, 1e-3), 3)
    row.update(
        monitor.measure(model.predictFunction, measured, options.batch_size, options.loss, options.downsample)
    )
    say(', '.join(f'{name.replace("_", " ")} {value:.5g}' for name, value in row.items()))

    # - the snapshot; its checkpoint comes last, when all that it stands for is there
    takes_snapshot = state.epoch % options.snapshot_every == 0
    shown = {}
    if takes_snapshot:
        snapshots.save(options.output, state.epoch, model)
        if options.keep:
            snapshots.prune(options.output, options.keep)
        predicted = monitor.write_prediction(options.output, state.epoch, model.predictFunction, watched)
        shown = {'image': watched.image.data, 'truth': watched.saliency.data, 'prediction': predicted}
    if board:
        board.add(row, shown)
    state.end_epoch(row)
    history.write(options.output, state.history)
    if takes_snapshot or state.epoch == options.epochs:
        save_checkpoint(options, model, state)


def save_checkpoint(options, model, state):
    """All that --resume needs."""
    from utils.training import checkpoint

    checkpoint.save(options.output, state.updates, state.to_json(), checkpoint.take(model))


if __name__ == '__main__':
    run(main)
