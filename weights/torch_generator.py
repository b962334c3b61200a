"""The generator in PyTorch, for the weights that `weights/convert.py --to torch` writes.

generator = Generator()
generator.load_state_dict(torch.load('generator.pt', weights_only=True))
maps = generator.eval()(images)
"""

import os
import sys

import torch
from torch import nn

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from utils.architecture import GENERATOR, MEAN_BGR, POOL, UPSCALE, generator_layout  # noqa: E402


class Generator(nn.Module):
    """Saliency maps (n, 1, rows, columns) in 0..1 of RGB images (n, 3, rows, columns) in 0..255, float32.

    Rows and columns are multiples of 16. The parameters have the layers' names: `conv1_1.weight`, ..
    """

    def __init__(self):
        super().__init__()
        for layer, parameter, shape in generator_layout():
            if parameter == 'W':
                self.add_module(layer, nn.Conv2d(shape[1], shape[0], shape[2], padding=shape[2] // 2))
        self.register_buffer('mean', torch.tensor(MEAN_BGR).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images):
        x = images.flip(1) - self.mean
        for layer in GENERATOR:
            if layer.kind == POOL:
                x = nn.functional.max_pool2d(x, 2)
            elif layer.kind == UPSCALE:
                x = nn.functional.interpolate(x, scale_factor=2, mode='nearest')
            else:
                x = self.get_submodule(layer.name)(x)
                x = torch.sigmoid(x) if layer.nonlinearity == 'sigmoid' else torch.relu(x)
        return x
