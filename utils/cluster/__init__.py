"""Work spread over processes of this and other machines, by dask.distributed, on disks that all of them see.

A task is a chunk of images by their paths: what is in them crosses neither the client nor the scheduler. dask
is imported when a scheduler is asked for, and not before.
"""
