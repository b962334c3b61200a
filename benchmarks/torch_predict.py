"""Does what 03-predict.py does, in PyTorch: python torch_predict.py GENERATOR.pt PHOTOGRAPH MAP.jpg

benchmarks/cpu.py compares its time with 03-predict.py's, in the benchmark's own environment.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[0] = ROOT

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from weights.torch_generator import Generator  # noqa: E402


def main():
    weights, photograph, output = sys.argv[1:]
    network = Generator().to(memory_format=torch.channels_last)
    network.load_state_dict(torch.load(weights, weights_only=True))
    image = cv2.cvtColor(cv2.imread(photograph), cv2.COLOR_BGR2RGB)
    small = cv2.resize(image, (256, 192), interpolation=cv2.INTER_AREA).astype(np.float32)
    batch = torch.from_numpy(small.transpose(2, 0, 1)[None]).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        saliency_map = network(batch)[0, 0].numpy()
    rows, columns = image.shape[:2]
    resized = cv2.resize(
        (saliency_map * 255).astype(np.uint8), (columns, rows), interpolation=cv2.INTER_CUBIC
    )
    cv2.imwrite(output, cv2.GaussianBlur(resized, (5, 5), 0))


if __name__ == '__main__':
    main()
