"""What several tests share; tests import from here, never each other."""

import torch


def randomize(module, std=0.3):
    """Move all parameters away from the identity at which flows start."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return module
