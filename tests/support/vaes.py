"""A VAE so small that all of its pictures can be listed."""

import math
from itertools import product

import torch

from dgm_course.vae import mlp_vae


def tiny_vae(latents=1, shape=(1, 2, 2), seed=0):
    """A VAE on four pixels, in float64, with a decoder that matters.

    The posterior is wider than the prior, so importance weights are bounded
    and their mean has a standard error.
    """
    torch.manual_seed(seed)
    model = mlp_vae(latents, hidden=(8,), shape=shape).double()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(3)
        last = model.encoder[1][-1]
        last.weight[latents:], last.bias[latents:] = 0, 0.3
    return model


def all_pictures(shape=(1, 2, 2)):
    pixels = list(product((0, 1), repeat=math.prod(shape)))
    return torch.tensor(pixels, dtype=torch.uint8).view(-1, *shape)
