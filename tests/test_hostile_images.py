"""One command over a folder of every kind of file and name that can go wrong."""

import os
import re
import shutil

import cv2
import numpy as np
import pytest

from tests.conftest import script
from tests.helpers import hostile_images
from tests.helpers.hostile_images import EITHER, IGNORED, READ, SKIPPED
from utils.command_line import one_line
from utils.errors import Unreadable
from utils.images import decode_rgb, read_rgb


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('hostile') / 'in'


@pytest.fixture(scope='module')
def expected(folder):
    return hostile_images.make(folder)


@pytest.fixture(scope='module')
def predicted(folder, expected, seeded_weights):
    """The command's result, and what it wrote: {path without what the format adds: path}."""
    output = folder.parent / 'out'
    result = script(
        *('03-predict.py', folder, '--weights', seeded_weights, '--output', output),
        *('--size', '32x32', '--format', 'jpg,overlay', '--batch-size', 8),
    )
    return result, output


def of_outcome(expected, outcome):
    return [name for name, of in expected.items() if of == outcome]


def test_there_are_hundreds(expected):
    assert len(of_outcome(expected, SKIPPED)) > 200
    assert len(of_outcome(expected, EITHER)) > 100
    assert len(of_outcome(expected, READ)) > 100


def test_it_ends_as_documented(predicted):
    result, _ = predicted
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    # libpng and libjpeg have lines of their own on some damaged files; OpenCV's log and Python's warnings not
    assert not re.search(r'^\[ *(WARN|ERROR)|Warning: .*\.py', result.stderr, re.MULTILINE)
    assert re.search(r'^\d+ of \d+ images predicted, maps in', result.stderr, re.MULTILINE)


def test_what_is_broken_is_named_and_skipped(folder, expected, predicted):
    result, output = predicted
    for name in of_outcome(expected, SKIPPED):
        assert reports(result, folder, output, name), name
        stem = os.path.splitext(name)[0]
        if 'mmmm' not in name:  # of which one of the two maps can be written
            assert not os.path.exists(os.path.join(output, stem[:250] + '.jpg')), name


def reports(result, folder, output, name):
    """Whether stderr has one line on it: by its own name, or by that of the map that cannot be written."""
    stem = os.path.splitext(name)[0]
    starts = (f'skipped {os.path.join(folder, name)}: ', f'skipped {os.path.join(output, stem)}')
    # anywhere in a line: libpng, in another thread, writes its warnings and their ends one by one
    return sum(result.stderr.count(one_line(start)) for start in starts) == 1


def test_what_can_be_read_is_predicted_at_its_size(folder, expected, predicted):
    result, output = predicted
    for name in of_outcome(expected, READ):
        assert not reports(result, folder, output, name), name
        image = read_rgb(os.path.join(folder, name))
        stem = os.path.join(output, os.path.splitext(name)[0])
        for ending in ('.jpg', '_overlay.jpg'):
            assert read_rgb(stem + ending).shape == image.shape, name


def test_damaged_files_are_predicted_or_skipped(folder, expected, predicted):
    result, output = predicted
    for name in of_outcome(expected, EITHER):
        stem = os.path.join(output, os.path.splitext(name)[0])
        assert os.path.exists(stem + '.jpg') != reports(result, folder, output, name), name
        assert os.path.exists(stem + '.jpg') == os.path.exists(stem + '_overlay.jpg'), name


def test_nothing_else_is_written(expected, predicted):
    _, output = predicted
    stems = {os.path.splitext(name)[0] for name, outcome in expected.items() if outcome != IGNORED}
    for path, _, files in os.walk(output):
        for file in files:
            name = os.path.relpath(os.path.join(path, file), output)
            stem = name[: -len('_overlay.jpg')] if name.endswith('_overlay.jpg') else name[: -len('.jpg')]
            assert stem in stems or name in ('contact_sheet.jpg', 'maps.json'), name


def test_what_can_be_read_is_what_opencv_reads(folder, expected, tmp_path):
    for name in of_outcome(expected, READ):
        copy = tmp_path / 'copy'  # OpenCV crashes on some of the names
        shutil.copyfile(os.path.join(folder, name), copy)
        ours = read_rgb(os.path.join(folder, name))
        np.testing.assert_array_equal(ours, cv2.imread(str(copy), cv2.IMREAD_COLOR)[..., ::-1], err_msg=name)


@pytest.mark.parametrize('name', sorted(hostile_images.sound()))
def test_no_part_of_a_file_is_taken_for_the_whole(name):
    """Cut anywhere: what is still decoded is the whole picture, of which only padding is missing."""
    data = hostile_images.sound()[name]
    whole = decode_rgb(data, name)
    for end in {*range(0, len(data), max(1, len(data) // 60)), *range(max(0, len(data) - 20), len(data))}:
        try:
            np.testing.assert_array_equal(decode_rgb(data[:end], name), whole, err_msg=f'{end} bytes')
        except Unreadable as error:
            assert name in str(error)


def test_unreadable_for_this_user(tmp_path):
    path = tmp_path / 'locked.png'
    path.write_bytes(hostile_images.sound()['rgb.png'])
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip('this user may read everything')
    with pytest.raises(Unreadable, match='Permission denied'):
        read_rgb(path)
