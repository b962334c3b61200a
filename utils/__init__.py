"""Everything that is not a network: files, images, SALICON, weights files, metrics. No Theano here."""
