"""Checkpoints and the state in them: what comes back is what was saved, or nothing."""

import numpy as np

from utils.training import checkpoint
from utils.training.state import State, random_streams

ARRAYS = {
    'generator_00': np.arange(6, dtype='float32').reshape(2, 3),
    'generator_optimiser_00': np.array([1e-300, np.pi]),
}


def test_what_comes_back_is_what_was_saved_to_the_bit(tmp_path):
    state = State(np.random.RandomState(5))
    state.random.randn(3)  # leaves a second Gaussian waiting
    state.begin_epoch(state.random.permutation(7), costs=2)
    state.add_update(np.array([0.1, 1 / 3], 'float32'), 0.7)
    state.history.append({'epoch': 0, 'loss': 0.1 + 0.2, 'validation_CC': float('nan')})
    checkpoint.save(tmp_path, state.updates, state.to_json(), ARRAYS)
    found, arrays = checkpoint.newest(tmp_path)
    again = State.from_json(found)
    for field in ('epoch', 'updates', 'batches', 'order', 'sums', 'seconds'):
        assert getattr(again, field) == getattr(state, field)
    assert again.history[0]['loss'] == state.history[0]['loss']
    np.testing.assert_array_equal(again.random.randn(5), state.random.randn(5))
    np.testing.assert_array_equal(again.random.permutation(99), state.random.permutation(99))
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_the_newest_two_are_kept(tmp_path):
    for updates in (5, 200, 31):
        checkpoint.save(tmp_path, updates, {'updates': updates}, ARRAYS)
    assert [int(path[-12:-4]) for path in checkpoint.paths(tmp_path)] == [200, 31]
    assert checkpoint.newest(tmp_path)[0] == {'updates': 200}
    assert checkpoint.newest(tmp_path / 'nothing here') is None


def test_of_a_damaged_one_nothing_is_used_and_the_one_before_it_is(tmp_path, capsys):
    for updates in (1, 2):
        checkpoint.save(tmp_path, updates, {'updates': updates}, ARRAYS)
    path = tmp_path / 'checkpoint00000002.npz'
    whole = path.read_bytes()
    rng = np.random.RandomState(0)
    cuts = [whole[: rng.randint(len(whole))] for _ in range(50)]
    flips = []
    for position in rng.randint(len(whole), size=300):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.randint(8)
        flips.append(bytes(damaged))
    harmless = 0
    for data in [b'', *cuts, *flips]:
        path.write_bytes(data)
        state, arrays = checkpoint.newest(tmp_path)
        # a flipped bit in a date or an attribute of the archive changes nothing
        harmless += state['updates'] == 2
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], array)
    assert harmless < 100
    assert 'checkpoint00000002.npz: left out, since it is damaged' in capsys.readouterr().err
    (tmp_path / 'checkpoint00000001.npz').write_bytes(b'')
    path.write_bytes(b'')
    assert checkpoint.newest(tmp_path) is None


def test_one_seed_gives_three_streams_that_differ():
    one, two = ([stream.randint(2**31, size=4).tolist() for stream in random_streams(s)] for s in (0, 0))
    assert one == two
    assert len({*map(tuple, one), *(tuple(s.randint(2**31, size=4)) for s in random_streams(1))}) == 6
    random_streams(2**70)
