"""SalGAN for SMILER, in the image that the Dockerfile beside its folder builds.

The weights lie beside this file. SMILER asks by SMILER_PARAMETER_MAP whether the model's own blur, the last
step of 03-predict.py, is wanted; without it the map is the network's own.
"""

import json
import os
import sys

sys.path.append(os.environ.get('SALGAN', '/opt/salgan'))  # the checkout

from smiler_tools.runner import run_model  # noqa: E402

from models.prediction import Predictor  # noqa: E402
from utils.images import read_rgb, shrink  # noqa: E402
from utils.saliency_maps import at_size, finish  # noqa: E402
from utils.weights import read_generator  # noqa: E402

WEIGHTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'gen_modelWeights0090.npz')


def main():
    parameters = json.loads(os.environ['SMILER_PARAMETER_MAP'])
    blurred = parameters.get('do_smoothing', 'default') == 'default'
    predict = Predictor(read_generator(WEIGHTS))

    def compute_saliency(image_path):
        image = read_rgb(image_path)
        (saliency_map,) = predict(shrink(image, 256, 192)[None])
        return (finish if blurred else at_size)(saliency_map, *image.shape[:2])

    run_model(compute_saliency)


if __name__ == '__main__':
    main()
