"""The SALICON challenge's annotations (COCO style JSON), indexed in one pass and read one image at a time.

`fixations_train2014.json` contains 69 million points: parsed whole, it would take some ten gigabytes. So only
the position of each annotation is kept, and an image's annotations are parsed when they are needed.
"""

import json
import os
import re
from array import array
from itertools import chain

import numpy as np

from utils.errors import Unreadable

_CHUNK = 2**22
_LARGEST = 2**26  # bytes of one element; the largest of SALICON is under 10 kB
_SOLID = re.compile(r'[^ \t\r\n]')
# An annotation as in every known file: no object within it, no brace or backslash in its strings, one
# image_id. Finding it is twenty times as fast as parsing it; anything else is parsed.
_FLAT = re.compile(r'\{[^{}"]*(?:"[^{}"\\]*"[^{}"]*)*\}(?=[ \t\r\n]*[,\]])')
_IMAGE_ID = re.compile(r'"image_id"\s*:\s*(\d{1,18})\s*[,}]')


class Annotations:
    """An annotation file: `.images` maps image id -> (file name, (rows, columns)).

    `.unlisted` counts the annotations of images that the file does not list.

    Raises
    ------
    Unreadable
        If the file cannot be read, is truncated, or is not such a JSON file.
    """

    def __init__(self, path, progress=None):
        self.path = os.fspath(path)
        self.images: dict = {}
        self._where: dict = {}  # image id -> array of start, end, start, end ..
        try:
            with open(self.path, 'rb') as file:
                self._index(Scanner(file, progress))
        except (ValueError, RecursionError) as error:
            reason = 'nested too deeply' if isinstance(error, RecursionError) else error
            raise Unreadable(f'{self.path}: not a whole annotation file ({reason}); fetch it again') from None
        except OSError as error:
            raise Unreadable(f'{self.path}: {error.strerror}') from None
        self.unlisted = sum(len(self._where[i]) // 2 for i in self._where.keys() - self.images.keys())

    def points(self, image_id):
        """All points of one image, all observers pooled: float array, N x 2, (row, column), 1-based."""
        where = self._where.get(image_id, ())
        try:
            pooled: list = []
            with open(self.path, 'rb') as file:
                for start, end in zip(where[::2], where[1::2]):
                    file.seek(start)
                    pooled += json.loads(file.read(end - start))['fixations']
            if any(len(point) != 2 for point in pooled):
                raise ValueError
            return np.fromiter(chain.from_iterable(pooled), float, 2 * len(pooled)).reshape(-1, 2)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Unreadable(
                f'{self.path}: the annotations of image {image_id} hold no list "fixations" of (row, column)'
            ) from None
        except OSError as error:
            raise Unreadable(f'{self.path}: {error.strerror}') from None

    def _index(self, scanner):
        found: list = []
        for key in scanner.members():
            found.append(key)
            if key in ('images', 'annotations'):
                for start, end, element in scanner.elements(flat=key == 'annotations'):
                    if key == 'images':
                        self._add_image(element)
                    else:
                        self._where.setdefault(_image_id(element), array('q')).extend((start, end))
            else:
                scanner.value()
        for key in ('images', 'annotations'):
            if key not in found:
                held = ', '.join(map(str, found[:8]))[:200] or 'nothing'
                raise ValueError(f'it has no list "{key}"; it holds {held}')

    def _add_image(self, element):
        try:
            name, rows, columns = element['file_name'], int(element['height']), int(element['width'])
            image_id = element['id']
            if not (isinstance(name, str) and name and min(rows, columns) > 0 and isinstance(image_id, int)):
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError(
                f'an image without id, file_name, height and width: {str(element)[:80]}'
            ) from None
        if self.images.setdefault(image_id, (name, (rows, columns))) != (name, (rows, columns)):
            raise ValueError(f'two images of id {image_id}')


def _image_id(element):
    """The image that an annotation belongs to; `element` is its text, or it parsed."""
    if isinstance(element, str):
        found = _IMAGE_ID.findall(element)
        if len(found) == 1:
            return int(found[0])
        element = json.loads(element)
    image_id = element.get('image_id') if isinstance(element, dict) else None
    if not isinstance(image_id, int):
        raise ValueError(f'an annotation without image_id: {str(element)[:80]}')
    return image_id


class Scanner:
    """Walks the members of a JSON object in a file, and their elements, with bounded memory."""

    # The file is read as Latin-1, one character per byte, so that positions are those in the file; JSON's own
    # characters are ASCII, and an element with others is parsed from its bytes.

    def __init__(self, file, progress):
        self.file, self.progress = file, progress
        self.text, self.at, self.base = '', 0, 0
        self.decoder = json.JSONDecoder()
        while len(self.text) < 3 and self._more():
            pass
        if self.text.startswith('\xef\xbb\xbf'):
            self.at = 3

    def _more(self):
        data = self.file.read(max(_CHUNK, len(self.text) - self.at))
        self.base += self.at
        self.text, self.at = self.text[self.at :] + data.decode('latin-1'), 0
        if self.progress:
            self.progress(len(data))
        return bool(data)

    def peek(self):
        while True:
            found = _SOLID.search(self.text, self.at)
            self.at = found.start() if found else len(self.text)
            if found:
                return found.group()
            if not self._more():
                raise ValueError('it is cut short')

    def take(self, allowed):
        character = self.peek()
        if character not in allowed:
            raise ValueError(f'{character!r} at byte {self.base + self.at}, where one of {allowed!r} belongs')
        self.at += 1
        return character

    def value(self, flat=False):
        """The next value parsed, or its text if `flat` and it is an object without objects; moves past it."""
        self.peek()
        while True:
            match = _FLAT.match(self.text, self.at) if flat else None
            if match:
                self.at = match.end()
                return match.group()
            # A value that ends with the buffer may continue in the next: 12 of 123.
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
                if end < len(self.text):
                    break
            except ValueError:
                if len(self.text) - self.at > _LARGEST:
                    raise
            if not self._more():
                raise ValueError(f'it is cut short or broken after byte {self.base + self.at}')
        start, self.at = self.at, end
        text = self.text[start:end]
        return value if text.isascii() else json.loads(text.encode('latin-1'))

    def members(self):
        """The keys of an object; the caller must take each value before the next key."""
        self.take('{')
        if self.peek() == '}':
            return
        while True:
            self.peek()
            key = self.value()
            self.take(':')
            yield key
            if self.take(',}') == '}':
                return

    def elements(self, flat=False):
        """(first byte, byte after the last, value) of the elements of a list; `flat` as in `value`."""
        self.take('[')
        if self.peek() == ']':
            self.at += 1
            return
        while True:
            self.peek()
            start = self.base + self.at
            value = self.value(flat)
            yield start, self.base + self.at, value
            if self.take(',]') == ']':
                return
