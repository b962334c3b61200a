"""What 04 does: reads maps and ground truth, scores them, writes tables."""
