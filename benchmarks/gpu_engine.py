"""One engine of benchmarks/gpu.py, in a process of its own: prints [seconds a call, MB of memory] by batch.

    python benchmarks/gpu_engine.py ENGINE DEVICE TASK WIDTH HEIGHT RUNS BATCH...

Batches ascend, since what memory was taken for one is kept for the next. Ours run in the project's
environment, PyTorch in one that need not have the project's packages.
"""

import json
import os
import re
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[0] = ROOT  # not this folder, which has a weights.py of its own

import numpy as np  # noqa: E402

NOT_COUNTED = 3


def main():
    engine, device, task = sys.argv[1:4]
    width, height, runs, *batches = map(int, sys.argv[4:])
    if engine in ('theano', 'guess'):
        calls, memory = theano(task, width, height)
    else:
        calls, memory = torch(task, width, height, device, engine == 'channels_last')
    random, measured = np.random.RandomState(0), []
    for batch in sorted(batches):
        images = random.randint(0, 256, (batch, 3, height, width)).astype(np.float32)
        maps = random.rand(batch, 1, height, width).astype(np.float32)
        measured.append([timed(calls, images, maps, runs), memory()])
        print(json.dumps(measured), flush=True)


def timed(calls, images, maps, runs):
    """Seconds: the median of each of the calls, which take turns, and the mean of these."""
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
    """Functions of images and maps, which end when their result is there, and one that tells the memory."""
    from backend import theano
    from models.model_bce import ModelBCE
    from models.model_salgan import ModelSALGAN

    def memory():
        if theano.config.device == 'cpu':
            return peak_of_the_process()
        from theano.gpuarray.type import get_context

        context = get_context(None)
        return (context.total_gmem - context.free_gmem) / 2**20

    if task == 'salgan':
        salgan = ModelSALGAN(width, height)
        functions = [salgan.D_trainFunction, salgan.G_trainFunction]
    elif task == 'bce':
        functions = [ModelBCE(width, height).G_trainFunction]
    else:
        predict = ModelBCE(width, height).predictFunction
        functions = [lambda images, maps: predict(images)]
    # costs are on the card until they are asked for
    return [lambda *batch, f=f: np.array(f(*batch)) for f in functions], memory


def torch(task, width, height, device, channels_last):
    """The same in PyTorch: the same layers, frozen ones, losses and optimisers; float32 throughout."""
    import torch

    from weights.torch_generator import Generator

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def placed(thing):
        return thing.to(device=device, memory_format=layout)

    def memory():
        if device == 'cpu':
            return peak_of_the_process()
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 2**20

    G = placed(Generator())
    pool, bce = torch.nn.AvgPool2d(4), torch.nn.functional.binary_cross_entropy
    for name, parameter in G.named_parameters():
        parameter.requires_grad_(not name.startswith(('conv1', 'conv2', 'conv3')))
    trained = [parameter for parameter in G.parameters() if parameter.requires_grad]

    def fed(*batch):
        return [placed(torch.from_numpy(array)) for array in batch]

    def predict(images, maps):
        with torch.inference_mode():
            return G(*fed(images)).cpu()

    def step(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    if task == 'predict':
        return [predict], memory
    if task == 'bce':
        optimizer = torch.optim.SGD(trained, 1e-3, momentum=0.5, nesterov=True)

        def update(images, maps):
            x, y = fed(images, maps)
            return step(optimizer, bce(pool(G(x)), pool(y)))

        return [update], memory
    D = placed(discriminator(torch, height, width))
    of_G, of_D = torch.optim.Adagrad(trained, 3e-4), torch.optim.Adagrad(D.parameters(), 3e-4)

    def update_D(images, maps):
        x, y = fed(images, maps)
        with torch.no_grad():
            prediction = G(x)
        real, made = D(torch.cat([y, x], 1)), D(torch.cat([prediction, x], 1))
        probabilities = torch.cat([real, made])
        return step(of_D, bce(probabilities, torch.cat([torch.ones_like(real), torch.zeros_like(made)])))

    def update_G(images, maps):
        x, y = fed(images, maps)
        prediction = G(x)
        made = D(torch.cat([prediction, x], 1))
        return step(of_G, bce(made, torch.ones_like(made)) + bce(pool(prediction), pool(y)) / 20)

    return [update_D, update_G], memory


def discriminator(torch, height, width):
    """models/discriminator.py in PyTorch, of random weights."""
    nn = torch.nn

    def convolution(channels, filters, normalised=False):
        layer = nn.Conv2d(channels, filters, 3, padding=1)
        return [nn.utils.parametrizations.weight_norm(layer) if normalised else layer, nn.ReLU()]

    return nn.Sequential(
        nn.Conv2d(4, 3, 1),
        nn.ReLU(),
        *convolution(3, 32),
        nn.MaxPool2d(4),
        *convolution(32, 64),
        *convolution(64, 64),
        nn.MaxPool2d(2),
        *convolution(64, 64, True),
        *convolution(64, 64, True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (height // 16) * (width // 16), 100),
        nn.Tanh(),
        nn.Linear(100, 2),
        nn.Tanh(),
        nn.Linear(2, 1),
        nn.Sigmoid(),
    )


if __name__ == '__main__':
    main()
