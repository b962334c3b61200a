"""The work of 04: reads maps and ground truth, scores them, writes tables."""
