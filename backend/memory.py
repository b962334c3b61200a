"""When a batch does not fit into memory (host or GPU): the largest that does."""

# Texts, in lower case, of errors that mean too little memory but are not MemoryErrors.
MESSAGES = (
    'failed to allocate',  # Theano: CorrMM, GpuCorrMM, elementwise and pooling Ops
    'could not allocate',  # Theano: the workspaces of cuDNN's convolutions
    'unable to allocate',  # Theano: Split
    'out of memory',  # CUDA's driver, through libgpuarray and pygpu
    'alloc_failed',  # CUDNN_STATUS_ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED
    'allocation_failed',  # CUDNN_STATUS_INTERNAL_ERROR_.._ALLOCATION_FAILED, cuDNN 9
    'allocation failed',  # libgpuarray, of cuBLAS
    'tensornd descriptor: cudnn_status_not_supported',  # cuDNN: an array of 2^31 numbers or more
)


class OutOfMemory(MemoryError):
    """Too little memory for a batch.

    Attributes
    ----------
    size : int
        Size of the batch.
    fits : int
        The largest half, quarter .. of it that fits into memory; 0 if none does.
    """

    def __init__(self, size, fits):
        super().__init__(f'no memory for a batch of {size}' + (f'; one of {fits} fits' if fits else ''))
        self.size, self.fits = size, fits


def call(function, *batch):
    """`function(*batch)`, for a Theano function.

    Parameters
    ----------
    function : function of arrays
    batch : arrays of the same length

    Raises
    ------
    OutOfMemory
        If it is too large. The size that fits is found by trying half as many each time, so a function that
        updates parameters will have updated them: discard them.
    """
    try:
        return function(*batch)
    except Exception as error:
        if not _is_it(error):
            raise
    # outside the handler: the error keeps references to what was computed
    raise OutOfMemory(len(batch[0]), _what_fits(function, batch))


def _is_it(error):
    """Whether an error means too little memory; Theano and pygpu have no class for it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(message in text for message in MESSAGES)


def _what_fits(function, batch):
    """The largest half, quarter .. of the batch that fits into memory; 0 if none does."""
    size = len(batch[0]) // 2
    while size:
        _let_go(function)
        try:
            function(*(array[:size] for array in batch))
            return size
        except Exception as error:
            if not _is_it(error):
                raise
        size //= 2
    return 0


def _let_go(function):
    """Frees what a call that failed had computed."""
    machine = getattr(function, 'fn', None)
    for variable, cell in getattr(machine, 'storage_map', {}).items():
        if variable.owner:
            cell[0] = None
