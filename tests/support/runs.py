"""A small model, its data and its losses, for runs of fit()."""

import torch

from dgm_course import flows

CPU = {"device": "cpu", "progress": False}


def model(seed=0):
    torch.manual_seed(seed)
    return flows.realnvp(3, layers=2, hidden=(8,))


def points(n=64):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(1))


def weights(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def noisy_loss(model, batch, step):
    """A loss with its own noise, to test the random state."""
    return -model.log_prob(batch + 0.1 * torch.randn_like(batch))


def on_a_device_for(rows):
    """A loss that fails, as a GPU's would, on more than so many rows."""

    def loss(model, batch, step):
        if len(batch) > rows:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return -model.log_prob(batch)

    return loss
