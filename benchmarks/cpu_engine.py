"""One engine of benchmarks/cpu.py, in a process of its own: answers each line of stdin with one run.

It says 'ready' after one run that does not count; then an answer is 'SECONDS CPU_SECONDS PEAK_MB'. Theano's
run in the project's environment, all others in the benchmark's.
"""

import os
import re
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[0] = ROOT  # not this folder, which has a weights.py of its own

import numpy as np  # noqa: E402


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
        print(time.perf_counter() - start, time.process_time() - cpu, peak(), flush=True)


def peak():
    with open('/proc/self/status', encoding='ascii') as file:
        return int(re.findall(r'VmHWM:\s+(\d+)', file.read())[0]) / 1024


def theano(task, folder, images):
    from models.model_bce import ModelBCE
    from models.model_salgan import ModelSALGAN
    from models.prediction import Predictor
    from utils.weights import read_generator, set_values

    arrays = read_generator(os.path.join(folder, 'generator.npz'))
    if task == 'predict':
        predictor = Predictor(arrays, images.shape[3], images.shape[2])
        pictures = images.transpose(0, 2, 3, 1).astype(np.uint8)
        return lambda: predictor(pictures)
    model = (ModelBCE if task == 'bce' else ModelSALGAN)(images.shape[3], images.shape[2], len(images))
    set_values(model.net['output'], arrays)
    maps = truth(images)
    return lambda: model.G_trainFunction(images, maps)


def torch_network(folder):
    import torch

    from weights.torch_generator import Generator

    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    network = Generator()
    network.load_state_dict(torch.load(os.path.join(folder, 'generator.pt'), weights_only=True))
    return torch, network


def torch_eager(task, folder, images, channels_last=False, compiled=False):
    torch, network = torch_network(folder)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    batch = torch.from_numpy(images).to(memory_format=layout)
    network = torch.compile(network) if compiled else network
    if task != 'predict':
        return torch_update(torch, task, network, batch, torch.from_numpy(truth(images)))
    network.eval()

    def run():
        with torch.inference_mode():
            return network(batch)[:, 0].numpy()

    return run


def torch_update(torch, task, network, images, maps):
    """One update of models.model_bce, or of the generator in models.model_salgan."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not re.search('conv[123]_', name) or 'uconv' in name)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    pool, cross_entropy = torch.nn.AvgPool2d(4), torch.nn.functional.binary_cross_entropy
    if task == 'bce':
        optimizer = torch.optim.SGD(trained, 1e-3, momentum=0.5, nesterov=True)
    else:
        optimizer = torch.optim.Adagrad(trained, 3e-4)
        judge = torch_discriminator(torch, *images.shape[2:])

    def run():
        optimizer.zero_grad()
        prediction = network(images)
        loss = cross_entropy(pool(prediction), pool(maps))
        if task == 'salgan':
            judged = judge(torch.cat([prediction, images], 1))
            loss = cross_entropy(judged, torch.ones_like(judged)) + loss / 20
            with torch.no_grad():  # the discriminator's own cost is reported too
                judge(torch.cat([maps, images], 1))
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def torch_discriminator(torch, rows, columns):
    """As many operations as models.discriminator has, but for the weight normalisation; not trained."""
    nn = torch.nn

    def convolution(channels, filters):
        return nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()

    network = nn.Sequential(
        nn.Conv2d(4, 3, 1),
        nn.ReLU(),
        *convolution(3, 32),
        nn.MaxPool2d(4),
        *convolution(32, 64),
        *convolution(64, 64),
        nn.MaxPool2d(2),
        *convolution(64, 64),
        *convolution(64, 64),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (rows // 16) * (columns // 16), 100),
        nn.Tanh(),
        nn.Linear(100, 2),
        nn.Tanh(),
        nn.Linear(2, 1),
        nn.Sigmoid(),
    )
    return network.requires_grad_(False)


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

    from utils.weights import MEAN_BGR

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
        return np.array(maps).copy()  # both Mats are views: `image` and `maps` are kept until here

    return run


def truth(images):
    """Maps to train on: any will do."""
    return np.random.RandomState(1).rand(len(images), 1, *images.shape[2:]).astype(images.dtype)


ENGINES = {
    'theano': theano,
    'corrmm': theano,
    'onednn': theano,
    'float64': theano,
    'torch': torch_eager,
    'channels_last': torch_channels_last,
    'compiled': torch_compiled,
    'onnxruntime': onnxruntime,
    'ncnn': ncnn,
}

if __name__ == '__main__':
    main()
