"""Which errors mean too little memory, of all that Theano, pygpu and their libraries can say."""

import numpy as np
import pytest

from backend import memory

TOO_LITTLE = [
    MemoryError(),
    MemoryError('alloc failed'),
    MemoryError('Unable to allocate 3.64 TiB for an array with shape (1000000, 1000000)'),
    RuntimeError('CorrMM failed to allocate working memory of 3 x 4'),
    RuntimeError('BaseCorrMM: Failed to allocate output of 1 x 2 x 3 x 4'),
    RuntimeError('GpuCorrMM failed to allocate working memory of 3 x 4'),
    RuntimeError('Could not allocate working memory'),
    RuntimeError('cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY: out of memory'),
    RuntimeError('error doing operation: CUDNN_STATUS_ALLOC_FAILED'),
    RuntimeError('error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED'),
    RuntimeError('Could not set tensorNd descriptor: CUDNN_STATUS_NOT_SUPPORTED'),
    RuntimeError('cublasSgemm: (cublas) GPU ressource allocation failed.'),
]
OTHERS = [
    RuntimeError('CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered'),
    RuntimeError('error doing operation: CUDNN_STATUS_MAPPING_ERROR'),
    RuntimeError('error doing operation: CUDNN_STATUS_NOT_SUPPORTED'),
    ValueError('the array is not contiguous in memory'),
    TypeError('cannot infer the memory layout'),
    RuntimeError('Error when trying to find the memory information on the GPU'),
]


def raising(error, fits=0):
    def function(batch):
        if len(batch) > fits:
            raise error

    return function


def test_too_little_memory_whoever_says_it():
    for error in TOO_LITTLE:
        with pytest.raises(memory.OutOfMemory) as raised:
            memory.call(raising(error, fits=3), np.zeros(4))
        assert (raised.value.size, raised.value.fits) == (4, 2)


def test_other_errors_that_speak_of_memory_stay_what_they_are():
    for error in OTHERS:
        with pytest.raises(type(error)) as raised:
            memory.call(raising(error), np.zeros(4))
        assert raised.value is error
