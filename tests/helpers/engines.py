"""Which convolutions can run here: asked of machine and settings, not of the code under test."""

import os
import platform

import pytest

from backend import native, theano

X86 = platform.machine() in ('x86_64', 'AMD64')
ONEDNN = X86 and theano.config.device == 'cpu' and os.environ.get('SALGAN_CONV') != 'corrmm'

needs_cpp = pytest.mark.skipif(not native.wanted(), reason='no vectors for the C++ here, or turned off')
needs_onednn = pytest.mark.skipif(not ONEDNN, reason='oneDNN is for x86-64 only, or turned off')
