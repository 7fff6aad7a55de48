"""Mutants of the chapter on autoregressive flows."""

import torch

from dgm_course import flows, nn
from mutants import breaks


@breaks(
    "Theorem 4.1: ladj = log|det J|",
    "Theorem 4.2: product of masks: strictly lower",
    "Theorem 4.5: mean of x_i sees x_1, ..., x_(i-1)",
    "Theorem 4.6: Jacobi = textbook loop",
)
def see_yourself(monkeypatch):
    """The output mask of MADE says >= where it should say >."""
    init = nn.MADE.__init__

    def wrong(self, *args, **options):
        init(self, *args, **options)
        own = torch.arange(1, self.dim + 1).repeat_interleave(self.outputs)
        degrees = torch.tensor(self.degrees[-1])
        self.layers[-1].mask.copy_(own[:, None] >= degrees)

    monkeypatch.setattr(nn.MADE, "__init__", wrong)


@breaks(
    "Theorem 4.1: ladj = log|det J|",
    "Theorem 4.1: the flow is the product of conditionals",
    "Theorem 4.1: the density integrates to one",
)
def flip_maf(monkeypatch):
    """MAF's forward returns minus its log-determinant."""
    forward = flows.MAF.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, -ladj

    monkeypatch.setattr(flows.MAF, "forward", wrong)


@breaks("Theorem 4.2: gradients agree, for 20 random orders")
def permute_twice(monkeypatch):
    """The inverse of a permutation applies it again."""

    def wrong(self, z, context=None):
        return z[:, self.order], z.new_zeros(len(z))

    monkeypatch.setattr(flows.Permutation, "inverse", wrong)


@breaks(
    "Proposition 4.7: blocks = textbook loop",
    "Proposition 4.7: each of the 48 units once",
)
def stop_early(monkeypatch):
    """The blocked inverse takes hidden units one variable too late."""
    known = nn.MADE.known
    monkeypatch.setattr(
        nn.MADE, "known", lambda self, d: known(self, max(0, d - 1))
    )


# rows of check cells that no mutant breaks yet
OWED = {
    "Theorem 4.3: another conditional variance scores less",
    "Proposition 4.4: entropy 1 + log 2 pi + log 2",
    "Theorem 4.5: mu + sigma m and sigma s are the one MADE",
}
