"""Files that a folder of images may hold and should not, and names that files may have and should not.

`make(folder)` writes them all, the same ones each time.
"""

import io
import os
import socket
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

import utils  # noqa: F401, I001

READ, SKIPPED, EITHER, IGNORED = 'read', 'skipped', 'read or skipped', 'passed over in silence'


def make(folder):
    """Writes everything; returns {path relative to `folder`: READ, SKIPPED, EITHER or IGNORED}."""
    expected = {}
    for part in (truncated, flipped, no_images, too_large, odd_images, odd_names, no_files):
        for name, (data, outcome) in part(folder).items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if data is not None:
                with open(path, 'wb') as file:
                    file.write(data)
            expected[name] = outcome
    return expected


def picture(rows=36, columns=48):
    noise = np.random.RandomState(rows * columns).randint(0, 256, (rows, columns, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 0)


def by_opencv(extension, image=None, *settings):
    return cv2.imencode(extension, picture() if image is None else image, settings)[1].tobytes()


def by_pillow(kind, mode='RGB', **settings):
    file = io.BytesIO()
    Image.fromarray(picture()).convert(mode).save(file, kind, **settings)
    return file.getvalue()


def plain(kind, values):
    """A PNM in text."""
    return (
        f'{kind}\n48 36\n'.encode()
        + b'255\n' * (kind != 'P1')
        + b' '.join(b'%d' % v for v in values.ravel())
        + b'\n'
    )


def sound():
    """A sound file of every format, and of every kind of each, that OpenCV writes or Pillow can for it."""
    grey = cv2.cvtColor(picture(), cv2.COLOR_BGR2GRAY)
    fractions = picture().astype(np.float32) / 255
    return {
        'baseline.jpg': by_opencv('.jpg'),
        'progressive.jpg': by_pillow('JPEG', progressive=True),
        'restarts.jpg': by_opencv('.jpg', None, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        'grey.jpg': by_pillow('JPEG', 'L'),
        'cmyk.jpg': by_pillow('JPEG', 'CMYK'),
        'rgb.png': by_opencv('.png'),
        'grey.png': by_opencv('.png', grey),
        'palette.png': by_pillow('PNG', 'P'),
        '16bits.png': by_opencv('.png', picture().astype(np.uint16) * 257),
        'rgb.bmp': by_opencv('.bmp'),
        'palette.bmp': by_pillow('BMP', 'P'),
        'lzw.tiff': by_opencv('.tiff'),
        'raw.tiff': by_pillow('TIFF', compression='raw'),
        'deflate.tiff': by_pillow('TIFF', compression='tiff_adobe_deflate'),
        'float.tiff': by_opencv('.tiff', fractions),
        'lossy.webp': by_opencv('.webp', None, cv2.IMWRITE_WEBP_QUALITY, 80),
        'lossless.webp': by_pillow('WEBP', lossless=True),
        'rgb.ppm': by_opencv('.ppm'),
        'grey.pgm': by_opencv('.pgm', grey),
        'bits.pbm': by_opencv('.pbm', grey),
        'rgb.pam': by_opencv('.pam'),
        'text.ppm': plain('P3', picture()),
        'text.pgm': plain('P2', grey),
        'text.pbm': plain('P1', grey & 1),
        'rgb.ras': by_opencv('.ras'),
        'rgb.jp2': by_opencv('.jp2'),
        'float.hdr': by_opencv('.hdr', fractions),
        'float.pfm': by_opencv('.pfm', fractions),
    }


def truncated(_):
    files = {}
    for name, data in sound().items():
        for percent in (0.1, 1, 5, 20, 50, 80, 95):
            files[f'truncated/{percent}-{name.replace(".", "-")}.{name}'] = (
                data[: max(1, int(len(data) * percent / 100))],
                SKIPPED,
            )
    for name in ('baseline.jpg', 'progressive.jpg', 'rgb.png', '16bits.png', 'rgb.bmp', 'rgb.ppm', 'rgb.jp2'):
        files[f'truncated/last-{name.replace(".", "-")}.{name}'] = sound()[name][:-1], SKIPPED
    return files


def flipped(_):
    files = {}
    random = np.random.RandomState(0)
    for name, data in sound().items():
        for i in range(6):
            bits = np.unpackbits(np.frombuffer(data, np.uint8))
            reach = len(bits) if i % 2 else min(len(bits), 8 * 100)  # every other time in the header
            bits[random.randint(0, reach, 1 + 3 * i)] ^= 1
            files[f'flipped/{i}-{name.replace(".", "-")}.{name}'] = np.packbits(bits).tobytes(), EITHER
    return files


def no_images(_):
    random = np.random.RandomState(1)
    files = {
        'empty.jpg': b'',
        'empty2.png': b'',
        'text.txt': b'These are no pixels.\n',
        'page.jpg': b'<!DOCTYPE html><html><body>404 Not Found</body></html>',
        'archive.zip': b'PK\3\4' + bytes(100),
        'zeros.jpg': bytes(10000),
        'script.sh': b'#!/bin/sh\nexit 1\n',
        'arrays.npz': b'PK\5\6' + bytes(18),
        'soi.jpg': b'\xff\xd8\xff',
        'soi-eoi.jpg': b'\xff\xd8\xff\xd9',
        'markers.jpg': b'\xff\xd8' + b'\xff\xe0\0\2' * 1000,
        'signature.png': b'\x89PNG\r\n\x1a\n',
        'iend.png': b'\x89PNG\r\n\x1a\n' + chunk(b'IEND', b''),
        'no-pixels.png': b'\x89PNG\r\n\x1a\n' + header(40, 30) + chunk(b'IEND', b''),
        'no-rows.png': b'\x89PNG\r\n\x1a\n'
        + header(40, 0)
        + chunk(b'IDAT', zlib.compress(b''))
        + chunk(b'IEND', b''),
        'long-chunk.png': b'\x89PNG\r\n\x1a\n' + b'\xff\xff\xff\xffIHDR' + bytes(100),
        'no-size.pgm': b'P5\n0 0\n255\n',
        'minus.pgm': b'P5\n-5 -5\n255\n' + bytes(100),
    }
    for i in range(8):
        files[f'noise{i}.jpg'] = random.bytes(10 ** (i % 4 + 1))
    return {f'no images/{name}': (data, SKIPPED) for name, data in files.items()}


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def header(width, height):
    return chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))


def too_large(folder):
    """Files that declare more pixels than anybody needs, and one that is as large."""
    jpeg = by_opencv('.jpg')
    frame = jpeg.index(b'\xff\xc0') + 5
    bitmap = by_opencv('.bmp')
    files = {
        'large.png': b'\x89PNG\r\n\x1a\n'
        + header(100000, 100000)
        + chunk(b'IDAT', zlib.compress(bytes(1000)))
        + chunk(b'IEND', b''),
        'larger.png': b'\x89PNG\r\n\x1a\n'
        + header(2**31 - 1, 2**31 - 1)
        + chunk(b'IDAT', b'')
        + chunk(b'IEND', b''),
        'large.jpg': jpeg[:frame] + struct.pack('>HH', 65500, 65500) + jpeg[frame + 4 :],
        'large.ppm': b'P6\n99999 99999\n255\n' + bytes(1000),
        'larger.ppm': b'P6\n2147483647 2147483647\n255\n' + bytes(1000),
        'largest.ppm': b'P6\n99999999999999999999 9\n255\n' + bytes(1000),
        'large.pgm': b'P5\n70000 70000\n65535\n' + bytes(1000),
        'large.bmp': bitmap[:18] + struct.pack('<ii', 2**31 - 1, 2**31 - 1) + bitmap[26:],
        'large2.bmp': bitmap[:18] + struct.pack('<ii', 100000, -100000) + bitmap[26:],
        'large.ras': b'\x59\xa6\x6a\x95' + struct.pack('>7I', 99999, 99999, 24, 0, 1, 0, 0) + bytes(1000),
        'large.hdr': b'#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 99999 +X 99999\n' + bytes(1000),
        'large.pfm': b'PF\n99999 99999\n-1.0\n' + bytes(1000),
    }
    os.makedirs(os.path.join(folder, 'too large'), exist_ok=True)
    with open(os.path.join(folder, 'too large', 'sparse.tiff'), 'wb') as file:
        file.truncate(2**40)
    return {
        'too large/sparse.tiff': (None, SKIPPED),
        **{f'too large/{n.replace(".", "-")}.{n}': (data, SKIPPED) for n, data in files.items()},
    }


def odd_images(_):
    """Sound ones, of the kinds that break programs."""
    files = {f'{name.replace(".", "-")}.{name}': data for name, data in sound().items()}
    for columns, rows in ((1, 1), (1, 300), (300, 1), (2, 1), (3, 5000), (5000, 3), (256, 192), (192, 256)):
        files[f'{columns}x{rows}.png'] = by_opencv('.png', picture(rows, columns))
    files['1x1.jpg.jpeg'] = by_opencv('.jpg', picture(1, 1))
    files['black.png'] = by_opencv('.png', np.zeros((30, 40, 3), np.uint8))
    files['white.png'] = by_opencv('.png', np.full((30, 40, 3), 255, np.uint8))
    for mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'):
        files[f'mode-{mode.replace(";", "-")}.png'] = (
            by_pillow('PNG', mode) if mode != 'I;16' else sixteen_bits()
        )
    for mode in ('L', 'RGB', 'RGBA', 'CMYK'):
        files[f'mode-{mode}-tiff.tif'] = by_pillow('TIFF', mode)
    files['transparent-palette.png'] = by_pillow('PNG', 'P', transparency=0)
    files['alpha-16bits.png'] = by_opencv(
        '.png', np.dstack([picture(), picture()[..., 0]]).astype(np.uint16) * 257
    )
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f'turned{orientation}.jpg'] = by_pillow('JPEG', exif=exif)
        files[f'turned{orientation}-png.png'] = by_pillow('PNG', exif=exif)
        files[f'turned{orientation}-webp.webp'] = by_pillow('WEBP', exif=exif)
    second = [Image.fromarray(picture()[::-1])]
    files['animated.webp'] = by_pillow('WEBP', save_all=True, append_images=second)
    files['animated-png.png'] = by_pillow('PNG', save_all=True, append_images=second)
    files['pages.tif'] = by_pillow('TIFF', save_all=True, append_images=second)
    files['panorama.jpg'] = by_pillow('MPO', save_all=True, append_images=second)
    for i, trailer in enumerate((b'\xff\xda' * 50, np.random.RandomState(2).bytes(100000), b'\xff\xd8\xff')):
        files[f'trailer{i}.jpg'] = by_opencv('.jpg') + trailer  # phones put films there
        files[f'trailer{i}-png.png'] = by_opencv('.png') + trailer
    files['UPPER.PNG'] = files['.hidden.png'] = files['misnamed.tiff.jpg'] = by_opencv('.png')
    files['misnamed.txt'] = files['no extension'] = by_opencv('.jpg')
    return {f'odd images/{name}': (data, READ) for name, data in files.items()}


def sixteen_bits():
    return by_opencv('.png', cv2.cvtColor(picture(), cv2.COLOR_BGR2GRAY).astype(np.uint16) * 257)


# fmt: off
NAMES = (
    'with space', ' leading space', 'trailing space ', 'a.b.c', '..leading dots', '-dash', '--help',
    'line\nbreak', "single'quote", 'double"quote', '[glob]*?', '$HOME', '`id`', '%s%d', '{0}', '~',
    'tab\there',
    'back\\slash', '\x1b[31mred', '\u202eright to left', 'é', 'e\u0301', '画像', '🦊', 'CON', 'semi;colon',
    '#hash', '&and', '\x7f', '0', 'None', 'x' * 100, 'a=b', 'colon:', 'comma,comma',
    os.fsdecode(b'not \xff utf-8'), os.fsdecode(b'\xc3\x28'),
)
# fmt: on


def odd_names(_):
    data = by_opencv('.png', picture(8, 8))
    files = {f'odd names/{name}.png': (data, READ) for name in NAMES}
    files['odd names/folder.jpg/inside.png'] = data, READ
    files['odd names/folder with\nbreak/inside.png'] = data, READ
    files['odd names/.hidden folder/inside.png'] = data, READ
    files['/'.join(['odd names'] + ['deep'] * 50) + '/inside.png'] = data, READ
    files['odd names/.DS_Store'] = b'\0\0\0\1Bud1' + bytes(100), IGNORED
    files['odd names/.git/HEAD'] = b'ref: refs/heads/main\n', IGNORED
    files['odd names/.salgan-1-2.part'] = data, IGNORED
    files['odd names/' + 'n' * 255] = data, SKIPPED  # and .jpg would be too long
    files['odd names/' + 'm' * 251 + '.png'] = data, SKIPPED  # and _overlay.jpg would
    return files


def no_files(folder):
    folder = os.path.join(folder, 'no files')
    os.makedirs(os.path.join(folder, 'empty folder.jpg'))
    os.mkfifo(os.path.join(folder, 'pipe.jpg'))
    os.mkfifo(os.path.join(folder, '.hidden pipe.jpg'))
    here = os.getcwd()
    try:  # a socket's path may have 107 bytes only
        os.chdir(folder)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind('socket.jpg')
    finally:
        os.chdir(here)
    for name, to in (
        ('nowhere.jpg', 'not there'),
        ('itself.jpg', 'itself.jpg'),
        ('a.jpg', 'b.jpg'),
        ('b.jpg', 'a.jpg'),
        ('device.jpg', '/dev/zero'),
        ('linked.png', '../odd images/1x1.png'),
        ('up', '..'),
        ('empty folder.jpg/linked folder', '../../odd names/folder.jpg'),
    ):
        os.symlink(to, os.path.join(folder, name))
    skipped = ('pipe.jpg', 'socket.jpg', 'nowhere.jpg', 'itself.jpg', 'a.jpg', 'b.jpg', 'device.jpg')
    return {
        **{f'no files/{name}': (None, SKIPPED) for name in skipped},
        'no files/linked.png': (None, READ),
        'no files/empty folder.jpg/linked folder/inside.png': (None, READ),
        'no files/.hidden pipe.jpg': (None, IGNORED),
    }
