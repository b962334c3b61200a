"""`python -m backend`: reports what Theano runs on here."""

from backend import cuda, theano

print(cuda.report() if cuda.wanted() else f'device={theano.config.device}')
