"""Mutants of the chapter on uniform dequantization."""

import torch

from dgm_course import flows
from dgm_course.dequantization import Uniform
from mutants import breaks


@breaks("Proposition 1.6: uniform pixels: 8 - log2(1 - 2 alpha)")
def drop_preprocessing(monkeypatch):
    """The logit returns no log-determinant."""
    forward = flows.Logit.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, torch.zeros_like(ladj)

    monkeypatch.setattr(flows.Logit, "forward", wrong)


@breaks("Proposition 1.6: uniform pixels: 8 - log2(1 - 2 alpha)")
def forget_log_256(monkeypatch):
    """The logit forgets the width of the range."""
    slope = flows.Logit._log_slope

    def wrong(self):
        return slope(self) + torch.tensor(self.levels).log().item()

    monkeypatch.setattr(flows.Logit, "_log_slope", wrong)


@breaks("Theorem 1.2: elbo(x) estimates E_u log p(x + u)")
def wide_noise(monkeypatch):
    """Noise from [0, 2) instead of [0, 1)."""

    def wrong(self, x):
        return 2 * torch.rand_like(x), x.new_zeros(len(x))

    monkeypatch.setattr(Uniform, "forward", wrong)


# rows of check cells that no mutant breaks yet
OWED = {
    "Proposition 1.1: (1.1) for D = 3, sigma = 0.1",
    "Theorem 1.3: E log P(x) <= -H(pi)",
    "Corollary 1.5: constant, but P is not pi: less",
}
