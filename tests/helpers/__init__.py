"""What tests share, and programs that they start."""
