"""What 02 needs beside the networks: samples, checkpoints, history, the record of a run."""
