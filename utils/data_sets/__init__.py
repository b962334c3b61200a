"""Data sets as they are distributed, and 01's preprocessing of them."""
