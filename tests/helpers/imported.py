"""What the server of processes.py imports once: nearly all that a script does."""

import cv2  # noqa: F401
import scipy.ndimage  # noqa: F401
import tqdm  # noqa: F401

import backend  # noqa: F401
import models.model_bce
import models.model_salgan
import models.prediction  # noqa: F401
