"""The networks of SalGAN, and the functions compiled from them. Nothing here touches a file."""

import backend  # noqa: F401  (before any import of Theano or Lasagne)
