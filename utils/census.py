"""What came in and what was left out of a data set, beside what SALICON has."""

from collections import Counter

from utils.salicon import JSON, SPLITS

IMAGES = {'train': 10_000, 'val': 5_000, 'test': 5_000}
SIZE = (480, 640)
# What the 2015 edition's splits hold. The layout does not tell it from the 2017 edition; these do.
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
        self.images, self.sizes, self.outside = Counter(), Counter(), Counter()
        self.without_fixations = 0
        self.totals = {split: Counter() for split in SPLITS}

    def add(self, prepared):
        """Counts a `preprocessing.Prepared`."""
        if prepared.problem:
            self.left_out.append(prepared.problem)
            return
        self.sizes[prepared.size] += 1
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
        """The summary: str, one a line, what was left out last."""
        yield 'samples: ' + ', '.join(
            f'{split} {_number(self.images[split])} of {_number(IMAGES[split])}' for split in SPLITS
        )
        if self.sizes:
            yield (
                'sizes: '
                + ', '.join(
                    f'{_number(count)} of {columns} x {rows}'
                    for (rows, columns), count in self.sizes.most_common()
                )
                + ('' if set(self.sizes) == {SIZE} else ' (all of SALICON is 640 x 480)')
            )
        yield from self._editions()
        if self.outside:
            yield (
                f'{_number(self.outside["fixations"])} points in {_number(self.outside["images"])} images lie '
                'outside their image and were dropped; the 2017 edition has some'
            )
        if self.without_fixations:
            yield f'{_number(self.without_fixations)} images have a map and no fixations'
        if self.left_out:
            yield f'left out ({_number(len(self.left_out))}):'
            yield from (f'  {sentence}' for sentence in self.left_out)

    def _editions(self):
        """A line for each split whose files say how much they hold."""
        for split, totals in self.totals.items():
            held = {kind: number for kind, number in totals.items() if number}
            if held:
                said = ', '.join(f'{_number(number)} {kind}' for kind, number in held.items())
                yield f'{split}: {said}: {self._edition(split, held)}'

    def _edition(self, split, held):
        expected = TOTALS_2015[split]
        if any(expected.get(kind) == number for kind, number in held.items()):
            return 'the totals of the 2015 edition'
        wanted = ', '.join(f'{_number(number)} {kind}' for kind, number in expected.items())
        if self.images[split] < IMAGES[split]:
            return f'too few images to tell the edition (the whole of 2015 has {wanted})'
        if self.layout == JSON:
            return (
                f'not those of the 2015 edition ({wanted}), the only one in this layout: an incomplete file?'
            )
        return f'not those of the 2015 edition ({wanted}): this points to the 2017 edition'


def _number(number):
    return f'{number:,}'.replace(',', ' ')
