"""Two sums on device=cuda: one with its barriers, one that takes the threads of a warp to run in step.

    python tests/helpers/gpu_hazard.py

Run in a process of its own, see tests/test_virtual_card.py. Prints a line for each kernel: its name, the sum,
and what it should be.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np  # noqa: E402

from backend import cuda  # noqa: E402

SIZE = 64
SOURCE = """#include "cluda.h"
KERNEL void %s(GLOBAL_MEM float *out, GLOBAL_MEM float *in) {
  LOCAL_MEM volatile float part[64];
  const int t = LID_0;
  part[t] = in[t];
  local_barrier();
  if (t < 32)
    part[t] += part[t + 32];
  for (int n = 16; n > 0; n /= 2) {
    %s
    if (t < n)
      part[t] += part[t + n];
  }
  if (t == 0)
    out[0] = part[0];
}"""


def main():
    cuda.prepare()
    import pygpu

    context = pygpu.init('cuda')
    arrays = [pygpu.gpuarray.GpuArray] * 2
    numbers = pygpu.gpuarray.array(np.arange(SIZE, dtype='float32'), context=context)
    for name, between in (('with_barriers', 'local_barrier();'), ('in_step', '')):
        kernel = pygpu.gpuarray.GpuKernel(SOURCE % (name, between), name, arrays, context=context)
        total = pygpu.gpuarray.zeros((1,), 'float32', context=context)
        kernel(total, numbers, gs=1, ls=SIZE)
        print(name, np.asarray(total)[0], np.arange(SIZE).sum(), flush=True)


if __name__ == '__main__':
    main()
