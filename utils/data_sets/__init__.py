"""Fixations as they are handed out, and 01's preprocessing of them."""
