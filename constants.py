"""What scripts of 2017 import by `from constants import *`; the numbered scripts have options instead."""

import os

INPUT_SIZE = (256, 192)  # the network's input: width, height
HOME_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), '')  # where weights are looked for
