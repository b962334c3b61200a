"""The parts of 02 other than the networks: samples, checkpoints, history, the record of a run."""
