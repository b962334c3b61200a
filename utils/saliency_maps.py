"""From the network's map to the written one: the original's last steps, and overlays on the image."""

import cv2
import numpy as np

from utils.images import shrink, to_uint8

HEAT_SHARE = 0.6  # share of the heat map in an overlay at its maximum; 0 at its minimum
OVERLAY_BAND = 2**20  # pixels of an overlay computed at a time
DENSITY_FLOOR = 1e-3  # added to a map in 0..1 before its logarithm: a quarter of a grey level
SHEET_PIXELS = 2**25  # largest size of a contact sheet, whatever the number of images
SHEET_CELL = (320, 240)  # width and height of an image on it, if they fit


def finish(saliency_map, rows, columns):
    """The original's saliency map of an image of `rows` x `columns`, from the network's.

    Parameters
    ----------
    saliency_map : float array, shape (network's rows, network's columns), in 0..1
    rows, columns : int
        Size of the image for which it was predicted.

    Returns
    -------
    uint8 array, shape (rows, columns)
        Truncated to 8 bits, resized with INTER_CUBIC, blurred by a 5 x 5 Gaussian (sigma 1.1, OpenCV's value
        for 0).
    """
    return finish_uint8(to_uint8(saliency_map), rows, columns)


def finish_uint8(saliency_map, rows, columns):
    """`finish` for a map that already has 8 bits."""
    # note: deviation 5: OpenCV 4.10 and newer round this resize differently: 1 off on 3 to 5 % of the pixels
    resized = cv2.resize(saliency_map, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(resized, (5, 5), 0)  # the original's clip to 0..255 after it changes no uint8


def at_size(saliency_map, rows, columns):
    """The network's own map, float32 in 0..1, resized by INTER_CUBIC to (rows, columns); no blur."""
    saliency_map = np.asarray(saliency_map, np.float32)
    return np.clip(cv2.resize(saliency_map, (columns, rows), interpolation=cv2.INTER_CUBIC), 0, 1)


def log_density(saliency_map, rows, columns):
    """The network's map as a density for the MIT/Tuebingen benchmark: natural logarithms.

    The density is taken as proportional to the map, resized as by `at_size`, plus DENSITY_FLOOR, so that no
    pixel has probability 0.

    Returns
    -------
    float32 array, shape (rows, columns); its logsumexp is 0 to within 1e-6, since it is made in float64
    """
    density = at_size(saliency_map, rows, columns).astype(np.float64) + DENSITY_FLOOR
    density /= density.sum()
    return np.log(density, out=density).astype(np.float32)


def overlay(image, finished_map):
    """The finished map as a heat map over its image, stretched to its own range so that its shape shows.

    Parameters
    ----------
    image : uint8 array, shape (any, any, 3), RGB
        Resized to the map's size if it has another, as a sample's has.
    finished_map : uint8 array, shape (rows, columns)

    Returns
    -------
    uint8 array, shape (rows, columns, 3), RGB
    """
    rows, columns = finished_map.shape
    image = shrink(image, columns, rows)
    stretched = cv2.normalize(finished_map, np.empty_like(finished_map), 0, 255, cv2.NORM_MINMAX)
    shown = np.empty((rows, columns, 3), np.uint8)
    band = max(1, OVERLAY_BAND // columns)  # a whole photograph in floats would take a gigabyte
    for top in range(0, rows, band):
        part = stretched[top : top + band]
        heat = cv2.cvtColor(cv2.applyColorMap(part, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
        share = (part * np.float32(HEAT_SHARE / 255))[..., None]
        shown[top : top + band] = np.rint(image[top : top + band] * (1 - share) + heat * share)
    return shown


def sheet_cell(images):
    """Width and height of one of `images` images on a contact sheet of at most SHEET_PIXELS."""
    width, height = SHEET_CELL
    scale = min(1.0, (SHEET_PIXELS / (images * width * height)) ** 0.5)
    return max(8, int(width * scale)), max(6, int(height * scale))


def thumbnail(image, width, height):
    """`image`, RGB, as large as it can be in `width` x `height`, centred on grey."""
    rows, columns = image.shape[:2]
    scale = min(width / columns, height / rows)
    inner = shrink(image, max(1, round(columns * scale)), max(1, round(rows * scale)))
    cell = np.full((height, width, 3), 128, np.uint8)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    cell[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return cell


def contact_sheet(cells):
    """Cells of one size, in rows of about as many cells as there are rows."""
    columns = int(np.ceil(len(cells) ** 0.5))
    blank = np.full_like(cells[0], 128)
    padded = cells + [blank] * (-len(cells) % columns)
    return np.vstack([np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)])
