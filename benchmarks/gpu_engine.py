"""One engine of benchmarks/gpu.py, in a separate process: prints, per batch size, [seconds per call, MB of
memory, MB by PyTorch's own count or null].

    python benchmarks/gpu_engine.py ENGINE DEVICE TASK WIDTH HEIGHT RUNS BATCH...

Batch sizes must ascend, since memory allocated for one is kept for the next. Ours run in the project's
environment, PyTorch in one that need not have the project's packages.
"""

import json
import os
import re
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[0] = ROOT

import numpy as np  # noqa: E402

NOT_COUNTED = 3
TORCHES = ('torch', 'channels_last', 'compile')


def main():
    engine, device, task = sys.argv[1:4]
    width, height, runs, *batches = map(int, sys.argv[4:])
    if engine in TORCHES:
        calls, memory = torch(task, width, height, device, engine)
    else:
        calls, memory = theano(task, width, height)
    random, measured = np.random.RandomState(0), []
    for batch in sorted(batches):
        images = random.randint(0, 256, (batch, 3, height, width)).astype(np.float32)
        maps = random.rand(batch, 1, height, width).astype(np.float32)
        measured.append([timed(calls, images, maps, runs), *memory()])
        print(json.dumps(measured), flush=True)


def timed(calls, images, maps, runs):
    """Seconds: the mean of the medians of each of the calls, which take turns."""
    seconds: list = [[] for _ in calls]
    for run in range(runs + NOT_COUNTED):
        for call, of in zip(calls, seconds):
            start = time.perf_counter()
            call(images, maps)
            if run >= NOT_COUNTED:
                of.append(time.perf_counter() - start)
    return statistics.mean(map(statistics.median, seconds))


def peak_of_the_process():
    with open('/proc/self/status', encoding='ascii') as file:
        return int(re.findall(r'VmHWM:\s+(\d+)', file.read())[0]) / 1024


def theano(task, width, height):
    """Functions of images and maps that return when the result is there, and one that gives the memory."""
    from backend import cuda, theano
    from models.model_bce import ModelBCE
    from models.model_salgan import ModelSALGAN

    def memory():
        if theano.config.device == 'cpu':
            return peak_of_the_process(), None
        from theano.gpuarray.type import get_context

        context = get_context(None)
        return (context.total_gmem - context.free_gmem) / 2**20, None

    if task == 'salgan':
        salgan = ModelSALGAN(width, height)
        functions = [salgan.D_trainFunction, salgan.G_trainFunction]
    elif task == 'bce':
        functions = [ModelBCE(width, height).G_trainFunction]
    else:
        with cuda.without_trials():  # as 03 does
            predict = ModelBCE(width, height).predictFunction
        functions = [lambda images, maps: predict(images)]
    # costs stay on the card until they are requested
    return [lambda *batch, f=f: np.array(f(*batch)) for f in functions], memory


def torch(task, width, height, device, engine):
    """The same in PyTorch: the same layers, frozen layers, losses and optimisers; float32 throughout."""
    import torch

    from benchmarks.torch_updates import updates
    from weights.torch_generator import Generator

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    layout = torch.contiguous_format if engine == 'torch' else torch.channels_last

    def placed(thing):
        return thing.to(device=device, memory_format=layout)

    def memory():
        if device == 'cpu':
            return peak_of_the_process(), None
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 2**20, torch.cuda.max_memory_allocated() / 2**20

    G = placed(Generator())
    forward = torch.compile(G) if engine == 'compile' else G

    def fed(*batch):
        return [placed(torch.from_numpy(array)) for array in batch]

    def predict(images, maps):
        with torch.inference_mode():
            return forward(*fed(images)).cpu()

    if task == 'predict':
        return [predict], memory
    calls = updates(task, G, forward, placed, height, width)
    return [lambda *batch, call=call: call(*fed(*batch)) for call in calls], memory


if __name__ == '__main__':
    main()
