"""Fixation maps and saliency maps of every kind: what they are, and what is refused."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import scipy.io
import scipy.ndimage
import tifffile
from PIL import Image

from utils.data_sets import readers
from utils.data_sets.data_set import eight_bits
from utils.errors import Unreadable

SIZES = ((48, 64), (60, 80), (96, 128), (54, 96), (240, 320))


def scattered(random, most=0.05):
    """How often each pixel is fixated: dense and sparse, with blocks and rows of neighbours."""
    rows, columns = SIZES[random.randint(len(SIZES))]
    n = int(np.exp(random.uniform(0, np.log(most * rows * columns))))
    y = random.randn(n) * random.uniform(0.08, 0.4) * rows + random.uniform(0.3, 0.7) * rows
    x = random.randn(n) * random.uniform(0.08, 0.4) * columns + random.uniform(0.3, 0.7) * columns
    counts = np.zeros((rows, columns), int)
    np.add.at(counts, (np.clip(y, 0, rows - 1).astype(int), np.clip(x, 0, columns - 1).astype(int)), 1)
    if n > 10 and random.rand() < 0.3:
        top, left = random.randint(3, rows - 6), random.randint(3, columns - 8)
        counts[top : top + random.randint(1, 4), left : left + random.randint(1, 4)] += 1
        counts[1, 2 : 2 + random.randint(2, 5)] += 1
    return counts


def dressed(random, counts):
    """The same fixations in one of the clothes that they come in."""
    shape = counts.shape
    return [
        lambda: (counts > 0).astype(np.uint8),
        lambda: (counts > 0) * np.uint8(255),
        lambda: (counts > 0).astype(np.uint16) * 257,
        lambda: counts.astype(np.uint8),
        lambda: np.where(counts > 0, random.randint(80, 600, shape), 0).astype(np.uint16),
        lambda: np.where(counts > 0, random.randint(1, 16, shape), 0).astype(np.uint8),
        lambda: (counts > 0)[..., None] * random.randint(0, 256, (*shape, 3)).astype(np.uint8),
        lambda: (counts > 0)[..., None] * np.array([3, 0, 0], np.uint8),
    ][random.randint(8)]()


def file_of(array, extension, quality=95):
    if extension == '.npy':
        data = io.BytesIO()
        np.save(data, array)
        return data.getvalue()
    if extension == '.mat':
        data = io.BytesIO()
        scipy.io.savemat(data, {'I': array})
        return data.getvalue()
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if extension == '.jpg' else []
    return cv2.imencode(extension, array, options)[1].tobytes()


# --- fixation maps ---


def test_fixations_in_every_clothes():
    random = np.random.RandomState(0)
    refused = 0
    for _ in range(400):
        counts = scattered(random)
        array = dressed(random, counts)
        wanted = counts > 0
        if array.ndim == 3:
            wanted = array.any(axis=2)  # a colour may be black
        extension = ['.png', '.tif', '.npy', '.mat'][random.randint(4)]
        if array.ndim == 3 and extension in ('.npy', '.mat'):
            extension = '.png'
        try:
            found = readers.read_fixation_map(f'a{extension}', file_of(array, extension))
        except Unreadable as error:
            refused += 1
            assert 'a blurred map?' in str(error)
            continue
        assert np.array_equal(found, wanted)
    assert refused <= 3  # a few of the densest clusters, by name


def blurred(random):
    """A blurred map, narrow or wide, coarse or fine, and the fixations that it was made of."""
    counts = scattered(random, 0.02)
    held = counts.astype(float) if random.rand() < 0.5 else (counts > 0).astype(float)
    sigma = np.exp(random.uniform(np.log(0.5), np.log(8)))
    found = scipy.ndimage.gaussian_filter(held, sigma)
    found /= found.max()
    levels = [0, 255, 127, 63, 31, 15, 7, 4][random.randint(8)]
    if levels:
        found = (np.round(found * levels) if random.rand() < 0.6 else np.floor(found * levels)) / levels
    return found, counts > 0


def test_blurred_maps_are_no_fixations():
    random = np.random.RandomState(1)
    taken = 0
    for number in range(400):
        found, fixated = blurred(random)
        extension = ('.png', '.npy', '.mat')[number % 3]
        array = np.round(found * 255).astype(np.uint8) if extension == '.png' else found
        try:
            read = readers.read_fixation_map(f'a{extension}', file_of(array, extension))
        except Unreadable as error:
            assert '--ground-truth' in str(error) and f'a{extension}' in str(error)
            continue
        # so coarse and narrow that hardly anything but the fixations is left
        taken += not np.array_equal(read, fixated)
    assert taken <= 4


@pytest.mark.parametrize('factor', [0.7, 0.8, 0.9, 1.5, 2])
def test_resized_fixation_maps_are_no_fixations(factor):
    random = np.random.RandomState(2)
    fixated = (random.random_sample((120, 160)) < 0.01) * np.uint8(255)
    for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
        resized = cv2.resize(fixated, None, fx=factor, fy=factor, interpolation=interpolation)
        with pytest.raises(Unreadable, match='--ground-truth'):
            readers.read_fixation_map('a.png', file_of(resized, '.png'))


def test_fixations_of_a_jpeg_at_every_quality():
    random = np.random.RandomState(3)
    for number in range(120):
        fixated = scattered(random) > 0
        quality = (60, 75, 85, 95, 100)[number % 5]
        array = fixated * np.uint8(255)
        array = np.dstack([array] * 3) if number % 3 == 0 else array
        assert np.array_equal(readers.read_fixation_map('a.jpg', file_of(array, '.jpg', quality)), fixated)
        smooth = np.round(scipy.ndimage.gaussian_filter(fixated * 1.0, random.uniform(1, 6)) * 1000)
        smooth = np.round(smooth / smooth.max() * 255).astype(np.uint8)
        with pytest.raises(Unreadable, match='a.jpg: .*--ground-truth'):
            readers.read_fixation_map('a.jpg', file_of(smooth, '.jpg', quality))


def test_what_else_is_no_fixation_map():
    for array, message in (
        (np.full((9, 9), 255, np.uint8), 'more than half'),
        (np.eye(9) - 0.5, 'negative'),
        (np.full((9, 9), np.nan), 'NaN'),
        (np.zeros(9), 'not a map'),
        (np.zeros((3, 3), complex), 'not a map'),
    ):
        with pytest.raises(Unreadable, match=f'a.npy: .*{message}'):
            readers.read_fixation_map('a.npy', file_of(array, '.npy'))
    assert not readers.read_fixation_map('a.png', file_of(np.zeros((9, 9), np.uint8), '.png')).any()
    assert not readers.read_fixation_map('a.jpg', file_of(np.zeros((9, 9), np.uint8), '.jpg')).any()


def test_alpha_is_no_fixation():
    fixated = np.zeros((20, 20, 4), np.uint8)
    fixated[..., 3] = 255
    fixated[5, 6, :3] = 255
    assert np.argwhere(readers.read_fixation_map('a.png', file_of(fixated, '.png'))).tolist() == [[5, 6]]


def test_channels_of_an_array():
    colours = np.zeros((9, 9, 4))
    colours[..., 3] = 1
    colours[2, 3, 1] = 0.5
    assert np.argwhere(readers.read_fixation_map('a.npy', file_of(colours, '.npy'))).tolist() == [[2, 3]]
    for read in (readers.read_fixation_map, lambda *a: readers.read_saliency_map(a[0], data=a[1])):
        with pytest.raises(Unreadable, match='a.npy: not a map: 64 channels'):
            read('a.npy', file_of(np.ones((3, 48, 64)), '.npy'))


def test_the_variable_of_a_mat(tmp_path):
    for name in ('I', 'fixLocs', 'fixations'):
        scipy.io.savemat(tmp_path / 'a.mat', {name: np.eye(9), 'other': np.ones((2, 2))})
        assert readers.read_fixation_map(tmp_path / 'a.mat').sum() == 9
    scipy.io.savemat(tmp_path / 'a.mat', {'s': np.eye(9), 'text': 'x'})
    with pytest.raises(Unreadable, match='it holds s .float64 9 x 9., text .text'):
        readers.read_fixation_map(tmp_path / 'a.mat')


# --- saliency maps ---

SMOOTH = np.exp(-((np.mgrid[:20, :30][0] - 8.3) ** 2 + (np.mgrid[:20, :30][1] - 11.1) ** 2) / 60)


def tiff(array):
    data = io.BytesIO()
    tifffile.imwrite(data, array)
    return data.getvalue()


@pytest.mark.parametrize(
    'dtype', [np.float16, np.float32, np.float64, np.uint8, np.uint16, np.uint32, np.int32]
)
def test_every_depth_is_kept(dtype):
    array = (SMOOTH * (1 if np.dtype(dtype).kind == 'f' else 200)).astype(dtype)
    for path, data in (('a.tif', tiff(array)), ('a.npy', file_of(array, '.npy'))):
        found = readers.read_saliency_map(path, data=data)
        assert found.kind == readers.MAP
        scale = 65535 if dtype == np.uint16 else 1
        assert np.array_equal(found.values * (scale if scale > 1 else 1), array / scale * scale)
        assert found.values.dtype == (np.uint8 if dtype == np.uint8 else found.values.dtype)


def test_twelve_bits_and_sixteen():
    for highest in (255, 1000, 4095, 65535):
        array = np.round(SMOOTH * highest).astype(np.uint16)
        found = readers.read_saliency_map('a.png', data=file_of(array, '.png'))
        assert np.array_equal(np.round(found.values * 65535), array)
        assert eight_bits(found, 'a.png').max() == 255  # as 01 makes it


def test_channels_that_say_the_same():
    array = np.round(SMOOTH * 255).astype(np.uint8)
    three = np.dstack([array] * 3)
    four = np.dstack([three, np.random.RandomState(0).randint(0, 255, array.shape).astype(np.uint8)])
    for made in (three, four):
        assert np.array_equal(readers.read_saliency_map('a.png', data=file_of(made, '.png')).values, array)
    grey = readers.read_saliency_map('a.jpg', data=file_of(three, '.jpg')).values
    assert np.abs(grey.astype(int) - array).max() < 10
    for coloured in (cv2.applyColorMap(array, cv2.COLORMAP_JET), three + np.array([0, 0, 9], np.uint8)):
        for extension in ('.png', '.jpg'):
            with pytest.raises(Unreadable, match=f'a{extension}: a coloured picture'):
                readers.read_saliency_map(f'a{extension}', data=file_of(coloured, extension))


def test_log_densities():
    density = SMOOTH / SMOOTH.sum()
    logarithm = np.log(density)
    for array in (logarithm, logarithm.astype(np.float32), logarithm + 0.009):
        found = readers.classify(array, 'a.npy')
        assert found.kind == readers.LOG_DENSITY and np.array_equal(found.values, array)
    with_zeros = np.where(SMOOTH < 0.1, -np.inf, np.log(density / density[SMOOTH >= 0.1].sum()))
    assert readers.classify(with_zeros, 'a.npy').kind == readers.LOG_DENSITY
    for array in (logarithm + 0.05, logarithm - 3, SMOOTH - 1.5):
        with pytest.raises(Unreadable, match='a.npy: no value is above 0, .* sum to .*, not to 1'):
            readers.classify(array, 'a.npy')
    for array in (np.full((4, 4), -np.log(16)), SMOOTH - 0.5, np.full((3, 3), -1.0)):
        assert readers.classify(array, 'a.npy').kind == readers.NEGATIVE
    assert readers.classify(np.zeros((3, 3)), 'a.npy').kind == readers.MAP
    for bad in (np.nan, np.inf):
        with pytest.raises(Unreadable, match='a NaN or an infinite value'):
            readers.classify(np.where(SMOOTH > 0.9, bad, logarithm), 'a.npy')
    with pytest.raises(Unreadable, match='a NaN or an infinite value'):
        readers.classify(np.where(SMOOTH > 0.9, -np.inf, SMOOTH), 'a.npy')


def test_shapes():
    for shape, size in (
        ((48, 64), (48, 64)),
        ((24, 32), (48, 64)),
        ((192, 256), (480, 640)),
        ((100, 100), (99, 101)),
        ((100, 109), (100, 100)),
    ):
        assert readers.another_shape(shape, size) is None, (shape, size)
    for shape, size, turned in (
        ((64, 48), (48, 64), True),
        ((32, 24), (48, 64), True),
        ((101, 99), (99, 101), True),
        ((192, 256), (1080, 1920), False),
        ((100, 111), (100, 100), False),
    ):
        why = readers.another_shape(shape, size)
        assert '--stretch' in why and ('turned' in why) == turned, (shape, size)


# --- hostile files ---


@pytest.mark.filterwarnings('ignore::UserWarning:PIL.TiffImagePlugin')
def test_tiffs_that_are_broken_cut_or_too_large():
    whole = tiff(SMOOTH.astype(np.float32))
    for at in range(0, len(whole), 97):
        try:
            readers.read_saliency_map('a.tif', data=whole[:at])
        except Unreadable as error:
            assert str(error).startswith('a.tif: ')
    random = np.random.RandomState(0)
    for dtype in (np.float16, np.float32, np.uint32):
        whole = bytearray(tiff(SMOOTH.astype(dtype)))
        for _ in range(60):
            broken = bytearray(whole)
            for at in random.randint(0, min(len(whole), 400), 3):
                broken[at] = random.randint(256)
            try:
                readers.read_saliency_map('a.tif', data=bytes(broken))
            except Unreadable as error:
                assert str(error).startswith('a.tif: ') and '\n' not in str(error)
    data = io.BytesIO()
    Image.new('F', (9000, 9000)).save(data, 'TIFF', compression='tiff_adobe_deflate')
    assert len(data.getvalue()) < 2**21
    with pytest.raises(Unreadable, match='81000000 pixels, more than'):
        readers.read_saliency_map('a.tif', data=data.getvalue())
    # a PNG that claims 400 million pixels of eight bytes
    header = struct.pack('>IIBBBBB', 20_000, 20_000, 16, 6, 0, 0, 0)
    chunks = [(b'IHDR', header), (b'IDAT', zlib.compress(bytes(1000))), (b'IEND', b'')]
    png = b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(held)) + name + held + struct.pack('>I', zlib.crc32(name + held))
        for name, held in chunks
    )
    with pytest.raises(Unreadable, match='a.png: .* pixels, more than'):
        readers.read_saliency_map('a.png', data=png)
    nan = SMOOTH.astype(np.float32)
    nan[3, 3] = np.nan
    with pytest.raises(Unreadable, match='a.tif: the map holds a NaN'):
        readers.read_saliency_map('a.tif', data=tiff(nan))
