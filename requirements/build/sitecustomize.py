"""On PYTHONPATH while Theano 1.0.5's wheel is built on Python 3.12 and newer, whose configparser lost a class
that its setup script asks for."""

import configparser

if not hasattr(configparser, 'SafeConfigParser'):

    class SafeConfigParser(configparser.ConfigParser):
        def readfp(self, file, filename=None):
            self.read_file(file, filename)

    configparser.SafeConfigParser = SafeConfigParser
