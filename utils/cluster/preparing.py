"""01 on workers: they decode, shrink and write the PNGs; 01 itself then finds these for its pickles."""

import copy
import os

from utils import files
from utils.cluster.connection import connected, look_around, tidy, workers
from utils.cluster.work import chunk_size, spread
from utils.command_line import progress
from utils.data_sets.preprocessing import prepare
from utils.images import ready_for_threads
from utils.parallel import in_order


def make_pngs(data_set, options):
    """Lets the workers that `options` name make the PNGs of a data set.

    Problems with an image are reported later, when it is added to the pickles.

    Raises
    ------
    CouldNotStart
        If there are no workers, or they do not see the same files.
    HadToStop
        See `utils.cluster.work.spread`.
    """
    import cloudpickle

    records, without = data_set.records, copy.copy(data_set)
    without.records = []
    shared = cloudpickle.dumps(without)  # it may contain nested functions
    settings = options.output, options.size
    with connected(options) as cluster, progress(total=len(records), unit='image', desc='PNGs') as bar:
        first = next(record.image for record in records if record.image)
        with files.probe(options.output) as probe:
            look_around(cluster, paths=[first], probe=probe)
        size = chunk_size(len(records), len(workers(cluster)))
        for chunk, _ in spread(
            cluster, 'utils.cluster.preparing.prepare_chunk', settings, records, size, shared
        ):
            bar.update(len(chunk))
        below = {os.path.dirname(record.stem) for record in records}
        tidy(
            cluster,
            [os.path.join(options.output, kind, each) for kind in ('images', 'maps') for each in below],
        )


def prepare_chunk(settings, chunk, shared, go_on):
    """Makes the PNGs of a chunk of records on a worker, in its threads."""
    ready_for_threads()
    output, size = settings

    def make(record):
        go_on()
        prepare(record, shared, output, size)

    for _ in in_order(make, chunk, int(os.environ.get('OMP_NUM_THREADS', '1'))):
        pass
