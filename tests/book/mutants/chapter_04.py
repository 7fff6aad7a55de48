"""Mutants of the chapter on autoregressive flows."""

import torch
from support import bugs

from dgm_course import flows, nn
from mutants import breaks, rewrite


@breaks(
    "Theorem 4.1: ladj = log|det J|",
    "Theorem 4.2: product of masks: strictly lower",
    "Theorem 4.5: mean of x_i sees x_1, ..., x_(i-1)",
    "Theorem 4.6: Jacobi = textbook loop",
    "Proposition 4.7: our loop = textbook loop",
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
    "Theorem 4.2: each output sees all before it",
    "Theorem 4.2: ten lines give the same masks",
)
def see_the_first_only(monkeypatch):
    """The outputs are connected to units of degree 1 alone."""
    init = nn.MADE.__init__

    def wrong(self, *args, **options):
        init(self, *args, **options)
        self.layers[-1].mask[:, torch.tensor(self.degrees[-1]) > 1] = 0

    monkeypatch.setattr(nn.MADE, "__init__", wrong)


@breaks(
    "Theorem 4.2: each output sees all before it",
    "Theorem 4.2: ten lines give the same masks",
)
def strict_hidden_masks(monkeypatch):
    """Hidden units are connected to units of a smaller degree only."""
    init = nn.MADE.__init__

    def wrong(self, *args, **options):
        init(self, *args, **options)
        pairs = zip(self.degrees, self.degrees[1:])
        for layer, (below, above) in zip(self.layers, pairs):
            columns = torch.tensor(above)[:, None] > torch.tensor(below)
            layer.mask.copy_(columns)

    monkeypatch.setattr(nn.MADE, "__init__", wrong)


@breaks("Theorem 4.2: the masks move with the model")
def masks_are_no_buffers(monkeypatch):
    """A mask is a plain attribute, which stays where it was made."""
    init = nn.MaskedLinear.__init__

    def wrong(self, mask):
        init(self, mask)
        kept = self.mask
        del self._buffers["mask"]
        self.mask = kept

    monkeypatch.setattr(nn.MaskedLinear, "__init__", wrong)


@breaks("Theorem 4.2: and none of them is trained")
def masks_are_parameters(monkeypatch):
    """A mask is a parameter, and an optimizer would change it."""
    init = nn.MaskedLinear.__init__

    def wrong(self, mask):
        init(self, mask)
        kept = self.mask
        del self._buffers["mask"]
        self.mask = torch.nn.Parameter(kept)

    monkeypatch.setattr(nn.MaskedLinear, "__init__", wrong)


flip_maf = breaks(
    "Theorem 4.1: ladj = log|det J|",
    "Theorem 4.1: the flow is the product of conditionals",
    "Theorem 4.1: the density integrates to one",
    "Theorem 4.1: our ladj is the library's",
)(bugs.flip_maf)


@breaks("Theorem 4.1: ladj = log|det J|")
def infinite_ladj(monkeypatch):
    """MAF's forward returns an infinite log-determinant."""
    forward = flows.MAF.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, ladj + torch.inf

    monkeypatch.setattr(flows.MAF, "forward", wrong)


@breaks("Theorem 4.1: (4.2) undoes (4.3): the library")
def divide_by_the_scale_twice(monkeypatch):
    """Affine's inverse divides by the scale, as the forward map does."""

    def wrong(self, z, parameters):
        mean, raw = parameters
        s = self.log_scale(raw)
        return z * (-s).exp() + mean, s

    monkeypatch.setattr(flows.Affine, "inverse", wrong)


@breaks("Theorem 4.1: and its ladj is minus that of f")
def flip_affine_inverse(monkeypatch):
    """Affine's inverse returns the log-slope of the forward map."""
    bugs.negate(monkeypatch, flows.Affine, "inverse")


permute_twice = breaks("Theorem 4.2: gradients agree, for 20 random orders")(
    bugs.permute_twice
)


@breaks(
    "Theorem 4.2: none of which is 1, ..., D",
    "Theorem 4.5: random: bent, beyond these roundings",
)
def random_is_the_identity(monkeypatch):
    """A random order is the order that is there already."""
    monkeypatch.setattr(
        flows.Permutation,
        "random",
        classmethod(lambda cls, dim, seed: cls(range(dim))),
    )


mean_off_by_a_fifth = rewrite(
    "def cross_entropy(mean=1.0,",
    "def cross_entropy(mean=1.2,",
    "Theorem 4.3: C is the cross-entropy of the best model",
)
variance_off_by_a_fifth = rewrite(
    "best = torch.tensor([1.0, 3.0, 0.0, 1.0]",
    "best = torch.tensor([1.0, 3.6, 0.0, 1.0]",
    "Theorem 4.3: whose gradient is zero",
)
entropy_off = rewrite(
    "entropy = 1 + math.log(2 * math.pi) + math.log(2)",
    "entropy = 1.05 + math.log(2 * math.pi) + math.log(2)",
    "Proposition 4.4: entropy 1 + log 2 pi + log 2",
    "Proposition 4.4: and loses 0.335",
)
wrong_order_off = rewrite(
    "wrong_order = (1 + math.log",
    "wrong_order = (1.05 + math.log",
    "Theorem 4.3: C is the cross-entropy of the best model",
    "Proposition 4.4: the wrong order reaches 3.866 nats",
)
moments_of_another_mean = rewrite(
    "z1 = (grid[:, 0] - 1) / 3**0.5",
    "z1 = (grid[:, 0] - 1.05) / 3**0.5",
    "Proposition 4.4: z1 has mean 0",
)


collapse_forgets_a_scale = rewrite(
    "return mu + sigma * mu2, sigma * sigma2",
    "return mu + x * mu2, sigma * sigma2",
    "Theorem 4.5: mean of x_i sees x_1, ..., x_(i-1)",
)


@breaks("Theorem 4.5: a log-scale of the library ends at 3")
def another_bound(monkeypatch):
    """The log-scale of a layer is bounded by 4."""
    monkeypatch.setattr(
        flows.Affine, "log_scale", lambda self, raw: 4 * torch.tanh(raw / 4)
    )


@breaks(
    "Theorem 4.6: a chain takes all D sweeps",
    "Theorem 4.6: and is then exact",
)
def one_sweep_early(monkeypatch):
    """Jacobi iteration stops after D - 1 sweeps."""

    def wrong(made, invert, z, context=None, tolerance=0.0):
        x, sweeps = torch.zeros_like(z), 0
        while sweeps < made.dim - 1:
            x, ladj = invert(z, made(x, context))
            sweeps += 1
        return x, ladj.sum(1), sweeps

    monkeypatch.setattr(nn.made_inverse, "jacobi", torch.no_grad()(wrong))


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


@breaks(
    "Proposition 4.8: log dz/dx is the slope (autograd)",
    "Proposition 4.8: the density of x is the mixture",
    "Proposition 4.8: the density of a MADE integrates to 1",
)
def drop_the_mixtures_ladj(monkeypatch):
    """The mixture's forward returns no log-slope."""
    forward = flows.GaussianMixture.forward

    def wrong(self, x, parameters):
        z, slope = forward(self, x, parameters)
        return z, 0 * slope

    monkeypatch.setattr(flows.GaussianMixture, "forward", wrong)


@breaks(
    "Proposition 4.8: ten lines: the same log dz/dx",
    "Proposition 4.8: the density of x is the mixture",
    "Proposition 4.8: the density of a MADE integrates to 1",
)
def flip_the_mixtures_ladj(monkeypatch):
    """The mixture's forward returns minus its log-slope."""
    bugs.negate(monkeypatch, flows.GaussianMixture, "forward")


@breaks("Proposition 4.8: bisection finds x again")
def bisect_another_mixture(monkeypatch):
    """The bisection halves all log-scales of the mixture."""
    bisect = flows.GaussianMixture._bisect

    def wrong(self, z, log_weight, mean, s):
        return bisect(self, z, log_weight, mean, 0.5 * s)

    monkeypatch.setattr(flows.GaussianMixture, "_bisect", wrong)


@breaks("Proposition 4.8: with the ladj of the inverse")
def flip_the_mixtures_inverse(monkeypatch):
    """The mixture's inverse returns the log-slope of the forward map."""
    bugs.negate(monkeypatch, flows.GaussianMixture, "inverse")
