"""Mutants of the primer."""

from dgm_course import flows
from mutants import breaks


@breaks(
    "Theorem 0.1: the density integrates to one",
    "Theorem 0.1: ladj is log|det| of the Jacobian",
    "Theorem 0.2: log-determinants add up",
)
def flip_coupling(monkeypatch):
    """RealNVP's forward returns minus its log-determinant."""
    forward = flows.AffineCoupling.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, -ladj

    monkeypatch.setattr(flows.AffineCoupling, "forward", wrong)


@breaks(
    "Theorem 0.2: the inverse has the opposite ladj",
    "Theorem 0.4: log p(g(z)) needs no forward pass",
    "Theorem 0.4: reverse KL: samples against the grid",
)
def forget_to_negate(monkeypatch):
    """The inverse returns the log-determinant of the forward map."""
    inverse = flows.AffineCoupling.inverse

    def wrong(self, z, context=None):
        x, ladj = inverse(self, z, context)
        return x, -ladj

    monkeypatch.setattr(flows.AffineCoupling, "inverse", wrong)


# rows of check cells that no mutant breaks yet
OWED = {
    "Theorem 0.3: inverse(forward(x)) = x",
    "Theorem 0.5: log p(x) = ELBO + KL",
}
