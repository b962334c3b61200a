"""Counts what was read and what was left out of a data set, compared with SALICON's totals."""

from collections import Counter

from utils.command_line import listed
from utils.data_sets.data_set import SPLITS
from utils.data_sets.salicon import JSON

IMAGES = {'train': 10_000, 'val': 5_000, 'test': 5_000}
SIZE = (480, 640)
# Totals of the 2015 edition's splits, which tell it from the 2017 edition; the layout does not.
TOTALS_2015 = {
    'train': {'mouse samples': 68_992_355, 'fixations': 3_171_533},
    'val': {'mouse samples': 38_846_998},
    'test': {},
}


class Census:
    """Counts as the images pass by.

    Attributes
    ----------
    left_out : list of str
        One sentence for each image or file that is not among the samples.
    """

    def __init__(self, data_set):
        self.layout, self.left_out = data_set.layout, list(data_set.problems)
        self.images: Counter = Counter()
        self.sizes: Counter = Counter()
        self.outside: Counter = Counter()
        self.without_fixations, self.turned = 0, []
        self.facts = data_set.facts
        self.totals: dict = {split: Counter() for split in SPLITS}

    def add(self, prepared):
        """Counts a `preprocessing.Prepared`."""
        if prepared.problem:
            self.left_out.append(prepared.problem)
            return
        self.sizes[prepared.size] += 1
        if prepared.turned:
            self.turned.append(prepared.turned)
        self.images.update(prepared.samples.keys())
        fixations = prepared.fixations
        if fixations is None:
            return
        self.without_fixations += not len(fixations.points)
        if fixations.outside:
            self.outside.update(images=1, fixations=fixations.outside)
        for split in prepared.samples.keys() - {'test'}:
            for kind, number in (('mouse samples', fixations.samples), ('fixations', fixations.recorded)):
                self.totals[split][kind] += number or 0

    def lines(self):
        """The lines of the summary; what was left out comes last."""
        if self.facts:
            yield 'samples: ' + ', '.join(f'{split} {_number(self.images[split])}' for split in SPLITS)
        else:
            counts = (
                f'{split} {_number(self.images[split])} of {_number(IMAGES[split])}' for split in SPLITS
            )
            yield 'samples, of those that SALICON has: ' + ', '.join(counts)
        if self.sizes:
            sizes = [f'{columns} x {rows} ({_number(n)})' for (rows, columns), n in self.sizes.most_common(8)]
            sizes += ['others'] if len(self.sizes) > 8 else []
            salicon = self.facts or set(self.sizes) == {SIZE}
            yield f'sizes: {", ".join(sizes)}' + ('' if salicon else '; SALICON: 640 x 480')
        yield from self._editions()
        if self.outside:
            yield (
                f'fixations outside their image, dropped: {_number(self.outside["fixations"])} '
                f'in {_number(self.outside["images"])} images'
                + ('' if self.facts else '; the 2017 edition has some')
            )
        if self.without_fixations:
            yield f'images without fixations, kept: {_number(self.without_fixations)}'
        if self.turned:
            yield (
                f'images with an EXIF orientation, which is applied: {_number(len(self.turned))}: '
                f'{listed(self.turned, 3)}; --ignore-orientation takes them as they are stored'
            )
        if self.left_out:
            yield f'left out ({_number(len(self.left_out))}):'
            yield from (f'  {sentence}' for sentence in self.left_out)

    def _editions(self):
        """What the totals of each split say about the edition; the gaze and JSON layouts have totals."""
        for split, totals in self.totals.items():
            held = {kind: number for kind, number in totals.items() if number}
            if held:
                yield f'{split}: {_listed(held)}: {self._edition(split, held)}'

    def _edition(self, split, held):
        expected = {kind: number for kind, number in TOTALS_2015[split].items() if kind in held}
        if expected.items() & held.items():
            return 'the 2015 edition'
        if self.images[split] < IMAGES[split]:
            return f'too few images to tell the edition (2015: {_listed(expected)})'
        if self.layout == JSON:
            return f'not the whole of the 2015 edition ({_listed(expected)}); fetch the file again'
        return f'not the 2015 edition ({_listed(expected)}), so that it points to 2017'


def _listed(totals):
    return ', '.join(f'{_number(number)} {kind}' for kind, number in totals.items())


def _number(number):
    return f'{number:,}'.replace(',', ' ')
