"""Makes the README's picture from images that it draws: python docs/picture.py WEIGHTS [PICTURE.jpg]"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from utils.images import read_rgb, shrink, write_image  # noqa: E402

ROWS, COLUMNS = 480, 640


def odd_one_out(random):
    """A red disc among green ones, the display of visual search."""
    image = np.full((ROWS, COLUMNS, 3), 128, np.uint8)
    places = [(x, y) for y in range(60, ROWS, 90) for x in range(60, COLUMNS, 88)]
    for i, (x, y) in enumerate(places):
        centre = (int(x + random.randint(-12, 13)), int(y + random.randint(-12, 13)))
        cv2.circle(image, centre, 17, (190, 60, 50) if i == 17 else (90, 140, 80), -1, cv2.LINE_AA)
    return image


def lighthouse(random):
    """Sky, sea, rock and a lighthouse."""
    rows = np.linspace(0, 1, ROWS)[:, None, None]
    image = (np.array([120, 170, 220]) + rows * np.array([110, 60, 10])).repeat(COLUMNS, axis=1)
    sea = slice(300, ROWS)
    image[sea] = (
        np.array([40, 90, 120]) + 14 * cv2.GaussianBlur(random.randn(180, COLUMNS, 1), (31, 3), 0)[..., None]
    )
    image = np.clip(image, 0, 255).astype(np.uint8)
    rock = np.array([[380, 330], [450, 285], [540, 290], [640, 320], [640, 420], [430, 400]])
    cv2.fillPoly(image, [rock], (70, 62, 55), cv2.LINE_AA)
    cv2.fillPoly(
        image, [np.array([[478, 300], [488, 120], [512, 120], [522, 300]])], (235, 235, 230), cv2.LINE_AA
    )
    for top in (140, 200, 260):
        cv2.rectangle(image, (482, top), (518, top + 28), (190, 40, 35), -1)
    cv2.rectangle(image, (486, 96), (514, 120), (250, 230, 120), -1)
    cv2.fillPoly(image, [np.array([[480, 96], [500, 72], [520, 96]])], (120, 30, 30), cv2.LINE_AA)
    cv2.fillPoly(
        image, [np.array([[120, 330], [200, 330], [185, 350], [135, 350]])], (240, 240, 240), cv2.LINE_AA
    )
    cv2.fillPoly(image, [np.array([[160, 325], [160, 265], [200, 320]])], (225, 150, 60), cv2.LINE_AA)
    return image


def desk(random):
    """A wooden desk with paper, a pen, a cup and an apple."""
    grain = cv2.GaussianBlur(random.randn(ROWS, COLUMNS), (61, 3), 0)
    image = np.clip(np.array([150, 110, 75]) + 40 * grain[..., None], 0, 255).astype(np.uint8)
    corners = cv2.boxPoints(((200, 250), (210, 280), 12)).astype(int)
    cv2.fillPoly(image, [corners], (238, 236, 228), cv2.LINE_AA)
    for line in range(9):
        y = 160 + 22 * line
        cv2.line(
            image, (125 + 2 * line, y + 20), (250 - 12 * (line % 3), y + 44), (120, 120, 130), 2, cv2.LINE_AA
        )
    cv2.line(image, (300, 360), (390, 240), (30, 60, 150), 8, cv2.LINE_AA)
    cv2.circle(image, (500, 330), 52, (190, 35, 30), -1, cv2.LINE_AA)
    cv2.circle(image, (484, 312), 12, (235, 150, 140), -1, cv2.LINE_AA)
    cv2.line(image, (502, 282), (510, 262), (80, 60, 30), 5, cv2.LINE_AA)
    cv2.circle(image, (470, 130), 62, (225, 225, 225), -1, cv2.LINE_AA)
    cv2.circle(image, (470, 130), 48, (60, 38, 25), -1, cv2.LINE_AA)
    return image


def main(weights, output=str(ROOT / 'docs' / 'picture.jpg')):
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for draw in (odd_one_out, lighthouse, desk):
            image = draw(np.random.RandomState(0))
            write_image(os.path.join(folder, f'{draw.__name__}.png'), image)
            rows.append([image])
        predict = [sys.executable, ROOT / '03-predict.py', folder, '--output', folder + '/maps']
        subprocess.run([*predict, '--weights', weights, '--format', 'overlay'], check=True)
        for row, draw in zip(rows, (odd_one_out, lighthouse, desk)):
            row.append(read_rgb(os.path.join(folder, 'maps', f'{draw.__name__}_overlay.jpg')))
    picture = np.hstack([np.vstack(row) for row in rows])
    write_image(output, shrink(picture, 1200, 600))


main(*sys.argv[1:])
