"""The parameters of a network: set from a weights file, saved in a checkpoint and restored from it."""

import numpy as np
from lasagne.layers import get_all_param_values, get_all_params


def set_values(layer, arrays):
    """Sets all parameters of the network with the last layer `layer`, or none.

    Parameters
    ----------
    layer : Lasagne layer, or list of layers
        The parameters are those of `lasagne.layers.get_all_params(layer)`, in that order.
    arrays : sequence of arrays
        One per parameter; cast to the parameters' type, which is theano.config.floatX.

    Raises
    ------
    ValueError
        If their number or a shape is not the network's; the network is then unchanged.
    """
    parameters = get_all_params(layer)
    if len(parameters) != len(arrays):
        raise ValueError(f'{len(arrays)} arrays for a network of {len(parameters)} parameters')
    for i, (parameter, array) in enumerate(zip(parameters, arrays)):
        shape = parameter.get_value(borrow=True, return_internal_type=True).shape  # no copy from a GPU
        if np.shape(array) != shape:
            raise ValueError(f'arr_{i} ({parameter}) has shape {np.shape(array)}, the network has {shape}')
    for parameter, array in zip(parameters, arrays):
        parameter.set_value(np.asarray(array, parameter.dtype))


def values(model):
    """The arrays of a model's networks, by the network's name: copies, in the order of a weights file."""
    return {name: get_all_param_values(layer) for name, (layer, _) in model.networks().items()}


def are_finite(model, network):
    """Whether all parameters of 'generator' or 'discriminator' that training changes are finite."""
    layer, _ = model.networks()[network]
    with np.errstate(all='ignore'):
        sums = [p.get_value(borrow=True).sum() for p in get_all_params(layer, trainable=True)]
    return bool(np.isfinite(sums).all())


def variables(model):
    """All weights, and the other shared variables that training changes, by their names in a checkpoint.

    Parameters
    ----------
    model : models.model_bce.ModelBCE or models.model_salgan.ModelSALGAN

    Returns
    -------
    dict of str -> Theano shared variable
        `generator_00` .. and `discriminator_00` .. in the order of the weights files, and the accumulators of
        each optimiser, `generator_optimiser_00` ..
    """
    named = {}
    for network, (layer, updates) in model.networks().items():
        parameters = get_all_params(layer)
        added_up = [variable for variable in updates if variable not in parameters]
        for prefix, group in ((network, parameters), (f'{network}_optimiser', added_up)):
            named.update({f'{prefix}_{i:02d}': variable for i, variable in enumerate(group)})
    return named


def take(model):
    """The arrays of `model` that a checkpoint keeps, by the names of `variables`."""
    return {name: variable.get_value(borrow=True) for name, variable in variables(model).items()}


def put(model, arrays):
    """Sets all variables of `model` to the arrays of a checkpoint, or none.

    Raises
    ------
    ValueError
        If they are not those of this model; the message is one sentence.
    """
    named = variables(model)
    if named.keys() != arrays.keys():
        raise ValueError('the checkpoint is of another mode')
    for name, variable in named.items():
        shape, dtype = variable.get_value(borrow=True).shape, variable.dtype
        if (arrays[name].shape, arrays[name].dtype) != (shape, dtype):
            raise ValueError(
                f'{name} is {arrays[name].dtype} {arrays[name].shape} in the checkpoint, {dtype} {shape} here'
            )
    for name, variable in named.items():
        variable.set_value(arrays[name])
