"""SalGAN as a pysaliency model, for use with pysaliency's data sets and metrics.

    model = SalGAN('weights/gen_modelWeights0090.npz')
    model.AUC(stimuli, fixations)

Run it, or import it, with the checkout on PYTHONPATH and pysaliency installed beside the project.
"""

from pysaliency import SaliencyMapModel

from models.prediction import Predictor
from utils.images import shrink
from utils.saliency_maps import at_size
from utils.weights import read_generator


class SalGAN(SaliencyMapModel):
    """Saliency maps as float32 in 0..1, at each stimulus's size, neither rounded to 8 bits nor blurred."""

    def __init__(self, weights, **keywords):
        super().__init__(**keywords)
        self._predict = Predictor(read_generator(weights))

    def _saliency_map(self, stimulus):
        image = stimulus if stimulus.ndim == 3 else stimulus[..., None].repeat(3, axis=2)
        (saliency_map,) = self._predict(shrink(image, 256, 192)[None])
        return at_size(saliency_map, *image.shape[:2])
