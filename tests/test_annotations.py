"""The index of SALICON's JSON: the same points as the whole file parsed, whatever its form."""

import json

import numpy as np
import pytest

from utils.data_sets import annotations
from utils.data_sets.annotations import Annotations
from utils.errors import Unreadable


def contents(images=3, workers=4):
    rng = np.random.default_rng(0)
    return {
        'info': {'description': 'a "quoted" {text} with [brackets], \\ and ü', 'version': 1.0},
        'images': [
            {'id': 100 + i, 'file_name': f'COCO_train2014_{i}.jpg', 'height': 48, 'width': 64, 'license': 4}
            for i in range(images)
        ],
        'licenses': [{'id': 1, 'name': 'x'}],
        'type': 'fixations',
        'annotations': [
            {
                'image_id': 100 + i,
                'fixations': np.stack([rng.integers(1, 49, 5), rng.integers(1, 65, 5)], 1).tolist(),
                'worker_id': worker,
                'id': i * workers + worker,
            }
            for worker in range(workers)
            for i in range(images)
        ],
    }


def pooled(held, image_id):
    return [p for a in held['annotations'] if a['image_id'] == image_id for p in a['fixations']]


FORMS: dict = {
    'as SALICON writes it': json.dumps,
    'without blanks': lambda held: json.dumps(held, separators=(',', ':')),
    'with many blanks': lambda held: json.dumps(held, indent=3),
    'annotations first': lambda held: json.dumps(dict(reversed(held.items()))),
    'in UTF-8': lambda held: json.dumps(held, ensure_ascii=False),
    'with a mark of UTF-8': lambda held: '\ufeff' + json.dumps(held),
    'with objects in it': lambda held: json.dumps(
        {**held, 'annotations': [{'more': {'image_id': 5, 'x': [{}]}, **a} for a in held['annotations']]}
    ),
    'with braces in text': lambda held: json.dumps(
        {**held, 'annotations': [{**a, 'note': '},{ "image_id": 7 } \\"'} for a in held['annotations']]}
    ),
    'with the id in text': lambda held: json.dumps(
        {**held, 'annotations': [{'note': '"image_id": 7,', **a} for a in held['annotations']]}
    ),
    'with the id last': lambda held: json.dumps(
        {**held, 'annotations': [dict(reversed(a.items())) for a in held['annotations']]}
    ),
}


@pytest.mark.parametrize('chunk', [1, 7, 1000, 2**22])
@pytest.mark.parametrize('form', FORMS)
def test_every_form_gives_the_same_points(tmp_path, form, chunk, monkeypatch):
    monkeypatch.setattr(annotations, '_CHUNK', chunk)
    held = contents()
    path = tmp_path / 'fixations_train2014.json'
    path.write_text(FORMS[form](held), encoding='utf-8')
    read = Annotations(path)
    assert list(read.images) == [100, 101, 102] and read.unlisted == 0
    assert read.images[101] == ('COCO_train2014_1.jpg', (48, 64))
    for image_id in read.images:
        np.testing.assert_array_equal(read.points(image_id), pooled(held, image_id))


def test_the_real_file(reference_data):
    path = reference_data / 'salicon10' / 'fixations_train2014examples.json'
    held, read = json.loads(path.read_text()), Annotations(path)
    assert len(read.images) == 10
    for image_id in read.images:
        np.testing.assert_array_equal(read.points(image_id), pooled(held, image_id))


def test_other_names_and_images_without_points(tmp_path):
    held = contents(images=2)
    held['images'][0]['file_name'] = 'ünï\U0001f600.jpg'
    held['images'].append({**held['images'][0], 'id': 7, 'file_name': 'b'})
    held['annotations'].append({'image_id': 55, 'fixations': [[1, 1]]})
    for ascii_only in (False, True):
        (tmp_path / 'x.json').write_text(json.dumps(held, ensure_ascii=ascii_only), encoding='utf-8')
        read = Annotations(tmp_path / 'x.json')
        assert read.images[100][0] == 'ünï\U0001f600.jpg'
        assert read.points(7).shape == (0, 2) and read.unlisted == 1


def test_cut_short(tmp_path):
    text = json.dumps(contents())
    for end in [0, 1, *np.random.default_rng(0).integers(0, len(text) - 1, 60)]:
        (tmp_path / 'x.json').write_text(text[:end])
        with pytest.raises(Unreadable, match=r'x.json: not a whole annotation file'):
            Annotations(tmp_path / 'x.json')


WRONG = {
    'a list': '[]',
    'a number': '12',
    'no images': '{"annotations": []}',
    'no annotations': '{"images": []}',
    'images of another kind': '{"images": {}, "annotations": []}',
    'a name that is none': '{"images": [{"id": 1, "file_name": 5, "height": 4, "width": 4}]}',
    'an endless size': '{"images": [{"id": 1, "file_name": "a", "height": 1e999, "width": 4}]}',
    'no size': '{"images": [{"id": 1, "file_name": "a"}], "annotations": []}',
    'one id twice': '{"images": [{"id": 1, "file_name": "a", "height": 4, "width": 4}, '
    '{"id": 1, "file_name": "b", "height": 4, "width": 4}], "annotations": []}',
    'annotations without an image': '{"images": [], "annotations": [{"fixations": []}]}',
    'annotations that are none': '{"images": [], "annotations": [5]}',
    'too deep': '{"images": [], "x": ' + '[' * 100_000 + ', "annotations": []}',
    'no JSON': '{"images": [], "annotations": [}',
    'NaN as an id': '{"images": [], "annotations": [{"image_id": NaN}]}',
    'bytes': '\x00\x01\x02',
}


@pytest.mark.parametrize('case', WRONG)
def test_what_is_no_annotation_file(tmp_path, case):
    (tmp_path / 'x.json').write_text(WRONG[case])
    with pytest.raises(Unreadable, match='x.json: not a whole annotation file'):
        Annotations(tmp_path / 'x.json')
    with pytest.raises(Unreadable, match='No such file'):
        Annotations(tmp_path / 'none.json')


@pytest.mark.parametrize(
    'fixations', ['5', '[1, 2]', '[[1]]', '[[1, 2, 3]]', '[["a", "b"]]', '"text"', 'null', '{"a": 1}']
)
def test_points_that_are_none(tmp_path, fixations):
    text = json.dumps(contents(1, 1)).replace('"fixations": [[', f'"fixations": {fixations}, "rest": [[')
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(Unreadable, match='annotations of image 100'):
        Annotations(tmp_path / 'x.json').points(100)
