"""Spreads work over processes on this and other machines, with dask.distributed, on disks shared by all.

A task is a list of image paths: image data pass through neither the client nor the scheduler. dask is only
imported when a scheduler is requested.
"""
