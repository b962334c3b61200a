"""What 03 predicts on in a folder: images of every format, and nothing else."""

import sys

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from utils import image_sources, outputs
from utils.errors import CouldNotStart, Unreadable
from utils.images import decode, read_rgb

PICTURE = np.kron(np.arange(60).reshape(5, 4, 3) * 4, np.ones((8, 8, 1))).astype(np.uint8)


def write(path, picture=PICTURE, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **more)


def write_heic(path, **more):
    pillow_heif.from_pillow(Image.fromarray(PICTURE)).save(path, **more)


def names(*paths, **more):
    sources, no_images = image_sources.find([str(path) for path in paths], **more)
    return [source.name for source in sources], no_images


def test_what_stands_beside_images(tmp_path):
    write(tmp_path / 'IMG_1.JPG')
    write(tmp_path / 'IMG_1.NEF', format='TIFF')  # what raw photographs are by their first bytes
    for name in ('IMG_1.MOV', 'IMG_1.txt', 'IMG_1.xml', 'notes.txt', 'empty.jpg', 'sub/x.json'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'' if name == 'empty.jpg' else b'\0\0\0\x14ftypqt  ')
    (tmp_path / '.DS_Store').write_bytes(b'x')
    found, no_images = names(tmp_path)
    assert found == ['IMG_1'] and len(no_images) == 7
    assert 'IMG_1.NEF: a raw photograph' in no_images[1] and 'empty.jpg: the file is empty' in no_images[4]
    (source,), _ = image_sources.find([str(tmp_path)])
    assert outputs.plan([source], str(tmp_path / 'out'), ['jpg'])
    write(tmp_path / 'IMG_1.png')  # two images of one name are an error still
    with pytest.raises(CouldNotStart, match='would both be written'):
        outputs.plan(image_sources.find([str(tmp_path)])[0], str(tmp_path / 'out'), ['jpg'])


def test_a_pattern(tmp_path):
    for name in ('a.jpg', 'b.png', 'sub/c.jpg', 'sub/d.png'):
        write(tmp_path / name)
    (tmp_path / 'e.txt').write_text('x')
    assert names(tmp_path, pattern='*.jpg') == (['a', 'sub/c'], [])
    assert names(tmp_path, pattern='sub/*')[0] == ['sub/c', 'sub/d']
    with pytest.raises(CouldNotStart, match='no images'):
        names(tmp_path, pattern='*.gif')


def test_formats_that_pillow_decodes(tmp_path):
    write(tmp_path / 'a.avif', quality=100, subsampling='4:4:4')
    frames = [Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)]
    frames[0].save(tmp_path / 'b.gif', save_all=True, append_images=frames[1:])
    write_heic(tmp_path / 'c.heic', quality=100, chroma=444)
    sources, no_images = image_sources.find([str(tmp_path)])
    assert [source.name for source in sources] == ['a', 'b', 'c'] and not no_images
    for source in sources:
        image, size = source.read()
        assert size == PICTURE.shape[:2]
        assert np.abs(image.astype(int) - PICTURE).mean() < 6, source.name
    # as they are decoded by other flags
    data = (tmp_path / 'a.avif').read_bytes()
    assert decode(data, 'a.avif', cv2.IMREAD_GRAYSCALE).shape == PICTURE.shape[:2]
    write(tmp_path / 'grey.gif', PICTURE[:, :, 0])
    assert np.array_equal(read_rgb(tmp_path / 'grey.gif')[:, :, 2], PICTURE[:, :, 0])


def test_the_orientation_of_an_avif(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    write(tmp_path / 'a.avif', exif=exif)
    assert read_rgb(tmp_path / 'a.avif').shape == (32, 40, 3)
    assert read_rgb(tmp_path / 'a.avif', ignore_orientation=True).shape == (40, 32, 3)


def test_heic_without_its_package(tmp_path, monkeypatch):
    write_heic(tmp_path / 'a.heic')
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    with pytest.raises(Unreadable, match='a.heic: HEIC, which needs the package pillow-heif'):
        read_rgb(tmp_path / 'a.heic')


def test_files_of_pillow_that_are_broken_or_too_large(tmp_path, monkeypatch):
    write(tmp_path / 'a.avif')
    write(tmp_path / 'a.gif')
    write_heic(tmp_path / 'a.heic')
    random = np.random.RandomState(0)
    for kind in ('avif', 'gif', 'heic'):
        data = (tmp_path / f'a.{kind}').read_bytes()
        variants = [data[:at] for at in range(16, len(data), max(len(data) // 8, 1))]
        for _ in range(30):
            broken = bytearray(data)
            for at in random.randint(0, len(data), 3):
                broken[at] = random.randint(256)
            variants.append(bytes(broken))
        for variant in variants:
            (tmp_path / f'broken.{kind}').write_bytes(variant)
            try:
                read_rgb(tmp_path / f'broken.{kind}')
            except Unreadable as error:
                assert f'broken.{kind}: ' in str(error) and '\n' not in str(error)
        monkeypatch.setenv('OPENCV_IO_MAX_IMAGE_PIXELS', '1000')
        with pytest.raises(Unreadable, match=f'a.{kind}: more pixels than'):
            read_rgb(tmp_path / f'a.{kind}')
        monkeypatch.undo()
