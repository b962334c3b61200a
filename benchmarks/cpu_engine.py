"""One engine of benchmarks/cpu.py, in a separate process: answers each line of stdin with one run.

It prints 'ready' after one run that does not count; each answer is 'SECONDS CPU_SECONDS PEAK_MB'. Engines
that use Theano run in the project's environment, all others in the benchmark's.
"""

import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[0] = ROOT

import numpy as np  # noqa: E402

from benchmarks.machine import peak_megabytes  # noqa: E402


def main():
    engine, task, folder, map_file = sys.argv[1:]
    images = np.load(os.path.join(folder, 'images.npy'))
    run = ENGINES[engine](task, folder, images)
    result = run()
    if map_file:
        np.save(map_file, result)
    print('ready', flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        run()
        print(time.perf_counter() - start, time.process_time() - cpu, peak_megabytes(), flush=True)


def theano(task, folder, images):
    from models.model_bce import ModelBCE
    from models.model_salgan import ModelSALGAN
    from models.parameters import set_values
    from models.prediction import Predictor
    from utils.weights import read_generator

    arrays = read_generator(os.path.join(folder, 'generator.npz'))
    if task == 'predict':
        predictor = Predictor(arrays, images.shape[3], images.shape[2])
        pictures = images.transpose(0, 2, 3, 1).astype(np.uint8)
        return lambda: predictor(pictures)
    model = (ModelBCE if task == 'bce' else ModelSALGAN)(images.shape[3], images.shape[2], len(images))
    set_values(model.net['output'], arrays)
    maps = truth(images)
    return lambda: model.G_trainFunction(images, maps)


def torch_eager(task, folder, images, channels_last=False, compiled=False):
    import torch

    from benchmarks.torch_updates import updates
    from weights.torch_generator import Generator

    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def placed(thing):
        return thing.to(memory_format=layout)

    network = Generator()
    network.load_state_dict(torch.load(os.path.join(folder, 'generator.pt'), weights_only=True))
    network, batch = placed(network), placed(torch.from_numpy(images))
    forward = torch.compile(network) if compiled else network
    if task != 'predict':
        update, maps = updates(task, network, forward, placed, *images.shape[2:])[-1], truth(images)
        return lambda: update(batch, torch.from_numpy(maps))

    def run():
        with torch.inference_mode():
            return forward(batch)[:, 0].numpy()

    return run


def torch_channels_last(task, folder, images):
    return torch_eager(task, folder, images, channels_last=True)


def torch_compiled(task, folder, images):
    return torch_eager(task, folder, images, channels_last=True, compiled=True)


def onnxruntime(task, folder, images):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ['OMP_NUM_THREADS'])
    session = onnxruntime.InferenceSession(
        os.path.join(folder, 'generator.onnx'), options, providers=['CPUExecutionProvider']
    )
    return lambda: session.run(None, {'images': images})[0][:, 0]


def ncnn(task, folder, images):
    import ncnn

    from utils.architecture import MEAN_BGR

    net = ncnn.Net()
    net.opt.num_threads = int(os.environ['OMP_NUM_THREADS'])
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.load_param(os.path.join(folder, 'generator.param'))
    net.load_model(os.path.join(folder, 'generator.bin'))
    mean = np.array(MEAN_BGR, np.float32).reshape(3, 1, 1)

    def run():
        extractor = net.create_extractor()
        image = np.ascontiguousarray(images[0, ::-1] - mean)
        extractor.input('images', ncnn.Mat(image))
        _, maps = extractor.extract('maps')
        return np.array(maps).copy()  # both Mats are views: `image` and `maps` must live until here

    return run


def truth(images):
    """Maps to train on: any will do."""
    return np.random.RandomState(1).rand(len(images), 1, *images.shape[2:]).astype(images.dtype)


ENGINES = {
    'theano': theano,
    'corrmm': theano,
    'onednn': theano,
    'float64': theano,
    'avx512': theano,
    'torch': torch_eager,
    'channels_last': torch_channels_last,
    'compiled': torch_compiled,
    'onnxruntime': onnxruntime,
    'ncnn': ncnn,
}

if __name__ == '__main__':
    main()
