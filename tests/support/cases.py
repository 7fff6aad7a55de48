"""All flows by name, each with the shape and the domain of its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dgm_course import flows
from dgm_course.flows import IAF, MAF, AdditiveCoupling, AffineCoupling, maf

from . import randomize


def both_tails(*shape):
    """Data on both sides of 0, as far out as a standardized table has any."""
    return 2 * torch.randn(*shape, dtype=torch.float64)


def inside(*shape, levels=4):
    """Data between 0 and the number of levels, close to both."""
    return levels * (0.02 + 0.96 * torch.rand(*shape, dtype=torch.float64))


def counts(dim=5, levels=4):
    """A table of positive frequencies, one row for each column."""
    seeded = torch.Generator().manual_seed(0)
    return 0.1 + torch.rand(dim, levels, generator=seeded) ** 4


@dataclass(frozen=True)
class Case:
    """How to build a flow and draw what it takes."""

    build: Callable[[], flows.Flow]
    context: tuple[int, ...] = ()
    shape: tuple[int, ...] = (5,)
    data: Callable[..., torch.Tensor] = both_tails

    def draw(self, n=7):
        """A random flow in float64, n rows of data, and their context."""
        flow = randomize(self.build()).double()
        x = self.data(n, *self.shape)
        return flow, x, both_tails(n, *self.context) if self.context else None


FLOWS = {
    "additive": Case(lambda: AdditiveCoupling(5, (16,))),
    "additive, swapped, context": Case(
        lambda: AdditiveCoupling(5, (16,), swap=True, context=3), (3,)
    ),
    "affine": Case(lambda: AffineCoupling(5, (16,))),
    "affine, swapped, context": Case(
        lambda: AffineCoupling(5, (16,), swap=True, context=3), (3,)
    ),
    "elementwise": Case(lambda: flows.ElementwiseAffine(5)),
    "triangular": Case(lambda: flows.TriangularAffine(5)),
    "permutation": Case(lambda: flows.Permutation.random(5, seed=1)),
    "reverse": Case(lambda: flows.Permutation.reverse(5)),
    "even first": Case(lambda: flows.Permutation.even_first(5)),
    "logit": Case(lambda: flows.Logit(levels=4), data=inside),
    "histogram": Case(lambda: flows.Histogram(counts()), data=inside),
    "inverse of affine": Case(lambda: flows.Inverse(AffineCoupling(5, (16,)))),
    "composition": Case(
        lambda: flows.Compose(
            flows.ElementwiseAffine(5),
            AffineCoupling(5, (16,)),
            flows.Permutation.reverse(5),
            AffineCoupling(5, (16,), swap=True),
        )
    ),
    "nice": Case(lambda: flows.nice(5, hidden=(16,)).flow),
    "realnvp": Case(
        lambda: flows.realnvp(5, hidden=(16,), context=2, shuffle=True).flow,
        (2,),
    ),
    "maf": Case(lambda: MAF(5, (16, 16))),
    "maf, fewer units than columns": Case(lambda: MAF(5, (3,))),
    "maf, no hidden layer": Case(lambda: MAF(5, ())),
    "maf, residual, context": Case(
        lambda: MAF(5, (16, 16), 2, residual=True), (2,)
    ),
    "maf, mixture": Case(
        lambda: MAF(5, (16,), conditional=flows.GaussianMixture(3))
    ),
    "iaf, context": Case(lambda: IAF(5, (16,), context=2), (2,)),
    "mafs, reversed": Case(lambda: maf(5, 3, (16,)).flow),
    "mafs, shuffled": Case(lambda: maf(5, 3, (16,), 2, "random").flow, (2,)),
    "coupling as iaf": Case(
        lambda: flows.coupling_as_iaf(AffineCoupling(5, (16,)))
    ),
}
