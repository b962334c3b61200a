"""Training in PyTorch as in models/, for the benchmarks: the same layers, losses and optimisers."""

import torch
from torch import nn


def updates(task, generator, forward, placed, height, width):
    """The updates of one task.

    Parameters
    ----------
    task : 'bce' or 'salgan'
    generator : weights.torch_generator.Generator
        Its encoder's first three blocks are frozen.
    forward : function
        Calls the generator: the generator itself, or its compiled form.
    placed : function
        Moves a module to the generator's device and memory layout.
    height, width : int

    Returns
    -------
    list of functions (images, maps) -> cost: [generator's], or [discriminator's, generator's]
    """
    for name, parameter in generator.named_parameters():
        parameter.requires_grad_(not name.startswith(('conv1', 'conv2', 'conv3')))
    trained = [parameter for parameter in generator.parameters() if parameter.requires_grad]
    pool, cross_entropy = nn.AvgPool2d(4), nn.functional.binary_cross_entropy

    def step(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    if task == 'bce':
        optimizer = torch.optim.SGD(trained, 1e-3, momentum=0.5, nesterov=True)
        return [lambda images, maps: step(optimizer, cross_entropy(pool(forward(images)), pool(maps)))]

    D = placed(discriminator(height, width))
    of_G, of_D = torch.optim.Adagrad(trained, 3e-4), torch.optim.Adagrad(D.parameters(), 3e-4)

    def of_both(images, maps, prediction):
        return D(torch.cat([maps, images], 1)), D(torch.cat([prediction, images], 1))

    def update_D(images, maps):
        D.requires_grad_(True)
        with torch.no_grad():
            prediction = forward(images)
        real, made = of_both(images, maps, prediction)
        wanted = torch.cat([torch.ones_like(real), torch.zeros_like(made)])
        return step(of_D, cross_entropy(torch.cat([real, made]), wanted))

    def update_G(images, maps):
        D.requires_grad_(False)
        prediction = forward(images)
        _, made = of_both(images, maps, prediction)  # both: the discriminator's cost is reported too
        content = cross_entropy(pool(prediction), pool(maps))
        return step(of_G, cross_entropy(made, torch.ones_like(made)) + content / 20)

    return [update_D, update_G]


def discriminator(height, width):
    """models/discriminator.py in PyTorch, with random weights."""

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
