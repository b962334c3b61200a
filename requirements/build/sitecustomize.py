"""On PYTHONPATH while Theano 1.0.5's wheel is built on Python 3.12 and newer: its setup script uses a class
that configparser no longer has."""

import configparser

if not hasattr(configparser, 'SafeConfigParser'):

    class SafeConfigParser(configparser.ConfigParser):
        def readfp(self, file, filename=None):
            self.read_file(file, filename)

    configparser.SafeConfigParser = SafeConfigParser
