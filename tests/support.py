"""What several tests share: random weights, and all flows by name."""

import torch

from dgm_course import flows


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
