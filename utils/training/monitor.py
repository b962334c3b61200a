"""Monitoring of training: measures on validation samples, and maps of one of them."""

import os

import numpy as np

from utils import metrics
from utils.images import write_image
from utils.saliency_maps import finish
from utils.training.data import batch


def measure(predict, samples, batch_size, loss, downsample):
    """Content loss, CC and NSS of the maps that `predict` makes for `samples`.

    Parameters
    ----------
    predict : function of images (batch, 3, rows, columns) -> maps (batch, 1, rows, columns)
    samples : sequence of samples
        CC is computed at the network's size, NSS at the size of the original image, on fixated pixels.
    loss, downsample : see `content_loss`

    Returns
    -------
    dict of the means over samples, NaN without any; for CC and NSS over those for which they are defined.
    """
    losses, ccs, nsss = [], [], []
    for start in range(0, len(samples), batch_size):
        chosen = range(start, min(start + batch_size, len(samples)))
        images, maps = batch(samples, chosen)
        for i, prediction, truth in zip(chosen, predict(images)[:, 0].astype('float64'), maps[:, 0]):
            losses.append(content_loss(prediction, truth, loss, downsample))
            if not np.isfinite(prediction).all():
                continue
            ccs.append(metrics.cc(prediction, truth))
            nsss.append(nss(prediction, samples[i]))
    return {
        'validation_content_loss': float(np.mean(losses)) if losses else float('nan'),
        'validation_CC': _mean_of_defined(ccs),
        'validation_NSS': _mean_of_defined(nsss),
    }


def _mean_of_defined(values):
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float('nan')


def content_loss(prediction, truth, loss, downsample):
    """The content loss of `models.model.Model.content_loss`, for one map, in float64.

    Parameters
    ----------
    prediction, truth : float arrays, shape (rows, columns), in 0..1
    loss : 'bce' or 'mse'
    downsample : int
    """
    rows, columns = truth.shape
    blocks = (rows // downsample, downsample, columns // downsample, downsample)
    p, t = (np.asarray(a, 'float64').reshape(blocks).mean(axis=(1, 3)) for a in (prediction, truth))
    if loss == 'mse':
        return np.mean((p - t) ** 2)
    with np.errstate(divide='ignore', invalid='ignore'):
        return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))


def nss(prediction, sample):
    """NSS of a map on a sample's fixations; NaN if it has none."""
    if sample.fixation is None or not len(sample.fixation.data[0]):
        return float('nan')
    fixated = np.zeros(sample.size, bool)
    rows, columns = sample.fixation.data
    inside = (rows >= 0) & (rows < sample.size[0]) & (columns >= 0) & (columns < sample.size[1])
    fixated[rows[inside], columns[inside]] = True
    return metrics.nss(metrics.resize_mit(prediction, sample.size), fixated)


def write_truth(folder, sample):
    """Writes the image and the saliency map of the watched sample, as the original does."""
    write_image(os.path.join(folder, 'validationRandomImage.png'), sample.image.data)
    write_image(os.path.join(folder, 'validationRandomSaliencyGT.png'), sample.saliency.data)


def write_prediction(folder, epoch, predict, sample):
    """Writes the predicted map of the watched sample, as 03 does; returns it, uint8."""
    images, _ = batch([sample], [0])
    saliency_map = finish(predict(images)[0, 0], *sample.image.data.shape[:2])
    write_image(os.path.join(folder, f'validationRandomSaliencyPred_{epoch:04d}.png'), saliency_map)
    return saliency_map
