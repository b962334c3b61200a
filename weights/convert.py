"""Converts the generator's weights to PyTorch and ONNX, and back from the forms in which others share them.

Needs only NumPy, tqdm, and PyTorch or onnx, so that it runs in an environment of theirs. Only the decoder's
filters are flipped: the encoder's are VGG-16's, which cross-correlates as PyTorch and ONNX do.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from utils import command_line  # noqa: E402
from utils.command_line import say  # noqa: E402
from utils.errors import CouldNotStart  # noqa: E402

WEIGHTS = os.path.join(ROOT, 'weights', 'gen_modelWeights0090.npz')
ENDINGS = {'torch': '.pt', 'onnx': '.onnx', 'npz': '.npz'}
OPSET = 13  # of ONNX, from 2020
LARGEST = 2**28  # bytes of a PyTorch file; the arrays have half of that


def main():
    arguments = parser().parse_args()
    stem = os.path.splitext(os.path.basename(arguments.weights))[0]
    output = arguments.output or stem + ENDINGS[arguments.to]
    if os.path.exists(output) and os.path.realpath(output) == os.path.realpath(arguments.weights):
        raise CouldNotStart(f'{output} would replace the weights it is made from; choose another --output')

    from utils import weights
    from utils.files import make_folder

    if arguments.to == 'npz':
        folder = os.path.isdir(arguments.weights)
        arrays = read_folder(arguments.weights) if folder else read_torch(arguments.weights)
        if not (folder or arguments.as_released):
            arrays = weights.flipped(arrays)
    else:
        arrays = weights.flipped(weights.read_generator(arguments.weights))
        needed(arguments.to)
    make_folder(os.path.dirname(output) or '.')
    {'torch': write_torch, 'onnx': write_onnx, 'npz': weights.save}[arguments.to](output, arrays)
    say(f'{arguments.weights} -> {output}')


def parser():
    parser = command_line.argument_parser(__doc__.split('\n')[0])
    parser.add_argument(
        'weights',
        nargs='?',
        default=WEIGHTS,
        metavar='FILE',
        help="a generator's .npz; with --to npz a PyTorch file of its layers in the same order, or a "
        'folder of arr_0.npy to arr_53.npy (default: weights/gen_modelWeights0090.npz)',
    )
    parser.add_argument(
        '--to',
        choices=list(ENDINGS),
        default='torch',
        help='torch: the state dict of weights/torch_generator.py; onnx: the whole network, from any number '
        'of RGB images in 0..255 whose sides are multiples of 16 to maps in 0..1; npz: back from PyTorch',
    )
    parser.add_argument(
        '--as-released',
        action='store_true',
        help="with --to npz: the PyTorch file has the decoder's filters as in the released weights, not "
        'flipped as PyTorch needs them; a port that copied the arrays unflipped computes different maps',
    )
    parser.add_argument(
        '--output', metavar='FILE', help="(default: the weights' name with .pt, .onnx or .npz, here)"
    )
    return parser


def needed(name):
    """The module torch or onnx."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = {'torch': 'torch==2.13.0', 'onnx': 'onnx'}[name]
        raise CouldNotStart(
            f'{name} cannot be imported in this Python ({error}): use one that has it, as after '
            f'`python3 -m venv .venv-{name} && .venv-{name}/bin/pip install numpy tqdm {package}`'
        ) from None


# --- PyTorch ---


def torch_names():
    """The names in a state dict, in the order of the arrays."""
    from utils.architecture import generator_layout

    ending = {'W': 'weight', 'b': 'bias'}
    return [f'{layer}.{ending[parameter]}' for layer, parameter, _ in generator_layout()]


def write_torch(path, arrays):
    import torch

    from utils.files import atomic_write

    state = {name: torch.from_numpy(array) for name, array in zip(torch_names(), arrays)}
    with atomic_write(path, durable=True) as file:
        torch.save(state, file)


def read_torch(path):
    """The 54 arrays of a state dict, in its own order; nothing but tensors is ever unpickled.

    Names are ignored, since every port has its own: the layers must come in the generator's order, with its
    shapes. The state dict may be under 'state_dict' in the file, as in a checkpoint.

    Raises
    ------
    CouldNotStart
        If it is not a state dict, or the number of tensors, a shape, type or value is not a generator's.
    """
    from utils.architecture import generator_layout
    from utils.files import read_bytes

    data = read_bytes(path, LARGEST)
    torch = needed('torch')
    import io

    try:
        state = torch.load(io.BytesIO(data), map_location='cpu', weights_only=True)
    except Exception:  # on a damaged or hostile file PyTorch may raise nearly anything
        raise CouldNotStart(
            f'{path}: damaged, or not a file of tensors alone, as torch.save(network.state_dict(), ..) writes'
        ) from None
    if isinstance(state, dict) and isinstance(state.get('state_dict'), dict):
        state = state['state_dict']
    if not isinstance(state, dict):
        raise CouldNotStart(f'{path}: not a state dict')
    tensors = {
        name: value
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and value.dim() in (1, 4)
    }
    tensors.pop('mean', None)
    layout = generator_layout()
    if len(tensors) != len(layout):
        raise CouldNotStart(
            f'{path}: {len(tensors)} weights and biases, where a generator has {len(layout)}: this is '
            'another network'
        )
    arrays = []
    for (name, tensor), (layer, _, shape) in zip(tensors.items(), layout):
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise CouldNotStart(f'{path}: {name} has type {tensor.dtype}, expected floating point')
        arrays.append(checked(tensor.detach().float().numpy(), path, name, layer, shape))
    return arrays


def read_folder(path):
    """The 54 arrays in a folder of `arr_0.npy` .. `arr_53.npy`, as unpacked from the released archive.

    Raises
    ------
    CouldNotStart
        If one is missing or broken, or its shape, type or values are not a generator's.
    """
    import io

    import numpy as np

    from utils.architecture import generator_layout
    from utils.files import read_bytes

    arrays = []
    for i, (layer, _, shape) in enumerate(generator_layout()):
        file = os.path.join(path, f'arr_{i}.npy')
        data = read_bytes(file, 4 * int(np.prod(shape)) + 2**12)
        try:
            array = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError, MemoryError):
            raise CouldNotStart(f'{file}: damaged, or not a NumPy array') from None
        if not isinstance(array, np.ndarray) or array.dtype.kind != 'f':
            raise CouldNotStart(f'{file}: not an array of floating-point numbers')
        arrays.append(checked(array.astype(np.float32), path, f'arr_{i}', layer, shape))
    return arrays


def checked(array, path, name, layer, shape):
    """The array, contiguous; CouldNotStart if it is not of that shape or not finite."""
    import numpy as np

    if array.shape != shape:
        raise CouldNotStart(
            f'{path}: {name} has the shape {array.shape}, where {layer} of a generator has {shape}'
        )
    if not np.isfinite(array).all():
        raise CouldNotStart(f'{path}: {name} holds values that are not finite')
    return np.ascontiguousarray(array)


# --- ONNX ---


def write_onnx(path, arrays):
    """The whole network, including the mean colour; batch, rows and columns are variable."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from utils.architecture import GENERATOR, MEAN_BGR, POOL, UPSCALE, generator_layout
    from utils.files import write_bytes

    constants = {
        f'{layer}.{parameter}': array for (layer, parameter, _), array in zip(generator_layout(), arrays)
    }
    constants['bgr'] = np.array([2, 1, 0], np.int64)
    constants['mean'] = np.array(MEAN_BGR, np.float32).reshape(1, 3, 1, 1)
    constants['twice'] = np.array([1, 1, 2, 2], np.float32)
    nodes: list = []

    def node(kind, *inputs, **attributes):
        output = f'{kind}_{len(nodes)}'
        nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    x = node('Sub', node('Gather', 'images', 'bgr', axis=1), 'mean')
    for layer in GENERATOR:
        if layer.kind == POOL:
            x = node('MaxPool', x, kernel_shape=[2, 2], strides=[2, 2])
        elif layer.kind == UPSCALE:
            x = node(
                'Resize',
                x,
                '',
                'twice',
                mode='nearest',
                nearest_mode='floor',
                coordinate_transformation_mode='asymmetric',
            )
        else:
            x = node('Conv', x, f'{layer.name}.W', f'{layer.name}.b', pads=[layer.side // 2] * 4)
            x = node({'sigmoid': 'Sigmoid', 'rectify': 'Relu'}[layer.nonlinearity], x)
    nodes[-1].output[0] = 'maps'
    graph = helper.make_graph(
        nodes,
        'SalGAN',
        [helper.make_tensor_value_info('images', TensorProto.FLOAT, ['n', 3, 'rows', 'columns'])],
        [helper.make_tensor_value_info('maps', TensorProto.FLOAT, ['n', 1, 'rows', 'columns'])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)])
    model.ir_version = 7  # the oldest that allows this operator set
    write_bytes(path, model.SerializeToString(), durable=True)


if __name__ == '__main__':
    command_line.run(main)
