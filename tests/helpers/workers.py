"""Which tests run in the same process of pytest-xdist: those that share networks, else those of a file."""

# files that share what helpers/networks.py has
NETWORKS = 'models', 'winograd', 'convolutions', 'onednn', 'kept'
TESTS = {
    'test_float64_training_follows_the_record_for_four_updates': 'float64',  # conftest's fixture
    'test_maps_are_those_of_float64': 'float64',
    'test_others_do_it_where_chains_cannot_or_shall_not': 'float64',
    'test_theano_does_it_where_it_shall': 'float64',
    'test_float64_training_follows_the_record': 'float64_long',
    'test_large_maps_are_those_of_float64': 'float64_long',
    'test_every_transform_against_plain_sums_in_float64': 'sanitised',
    'test_every_gradient_against_plain_sums_in_float64': 'sanitised',
    'test_updates_without_cudnn_race_nowhere': 'watched',
}
FILES = {f'tests/test_{name}.py': 'networks' for name in NETWORKS}
FIRST = [
    *('watched', 'tests/test_virtual_card.py'),
    *('networks', 'tests/test_training.py', 'float64', 'tests/test_predict.py', 'tests/test_evaluate.py'),
    *('sanitised', 'float64_long'),
]


def group(nodeid):
    """The name of what runs together with that test."""
    file, _, name = nodeid.partition('::')
    return TESTS.get(name.partition('[')[0]) or FILES.get(file, file)


def place(nodeid):
    """Where its group stands among those that take longest."""
    return FIRST.index(group(nodeid)) if group(nodeid) in FIRST else len(FIRST)


def scheduler(config, log):
    """pytest-xdist's by scope, with these groups for scopes, begun in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group(nodeid)

    config.option.loadscopereorder = False
    return ByGroup(config, log)
