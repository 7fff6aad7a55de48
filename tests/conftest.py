"""Shared by all tests: seeds, and the flows that every property covers."""

import os

import pytest
import torch

from dgm_course import flows

os.environ.setdefault("DGM_PROFILE", "smoke")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomize(module, std=0.3):
    """Move all parameters away from the identity at which flows start."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return module


# name -> (flow on D = 5 columns, width of its context)
FLOWS = {
    "additive": lambda: (flows.AdditiveCoupling(5, (16,)), 0),
    "additive, swapped, context": lambda: (
        flows.AdditiveCoupling(5, (16,), swap=True, context=3),
        3,
    ),
    "affine": lambda: (flows.AffineCoupling(5, (16,)), 0),
    "affine, swapped, context": lambda: (
        flows.AffineCoupling(5, (16,), swap=True, context=3),
        3,
    ),
    "elementwise": lambda: (flows.ElementwiseAffine(5), 0),
    "triangular": lambda: (flows.TriangularAffine(5), 0),
    "permutation": lambda: (flows.Permutation.random(5, seed=1), 0),
    "reverse": lambda: (flows.Permutation.reverse(5), 0),
    "even first": lambda: (flows.Permutation.even_first(5), 0),
    "logit": lambda: (flows.Logit(levels=4), 0),
    "inverse of affine": lambda: (
        flows.Inverse(flows.AffineCoupling(5, (16,))),
        0,
    ),
    "composition": lambda: (
        flows.Compose(
            flows.ElementwiseAffine(5),
            flows.AffineCoupling(5, (16,)),
            flows.Permutation.reverse(5),
            flows.AffineCoupling(5, (16,), swap=True),
        ),
        0,
    ),
    "nice": lambda: (flows.nice(5, hidden=(16,)).flow, 0),
    "realnvp": lambda: (
        flows.realnvp(5, hidden=(16,), context=2, shuffle=True).flow,
        2,
    ),
}


@pytest.fixture(params=FLOWS)
def case(request):
    """A random flow in float64, data in its domain, and a context."""
    flow, width = FLOWS[request.param]()
    x = 3 * torch.rand(7, 5, dtype=torch.float64) + 0.3
    context = torch.randn(7, width, dtype=torch.float64) if width else None
    return randomize(flow).double(), x, context
