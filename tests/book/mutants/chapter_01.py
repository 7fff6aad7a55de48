"""Mutants of the chapter on uniform dequantization."""

import torch
from support import bugs

from dgm_course import data, flows
from dgm_course.dequantization import Dequantized, Uniform
from dgm_course.flows import histogram
from mutants import breaks, rewrite


@breaks(
    "Proposition 1.6: uniform pixels: 8 - log2(1 - 2 alpha)",
)
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


@breaks("Proposition 1.6: the inverse undoes the logit")
def stretch_too_far(monkeypatch):
    """The inverse of the logit forgets that alpha was cut off twice."""
    inverse = flows.Logit.inverse

    def wrong(self, z, context=None):
        x, ladj = inverse(self, z, context)
        return x * (1 - 2 * self.alpha) / (1 - self.alpha), ladj

    monkeypatch.setattr(flows.Logit, "inverse", wrong)


@breaks("Proposition 1.1: log-likelihood = const - D log sigma")
def forget_to_normalize(monkeypatch):
    """The frequencies of the grey values sum to two."""
    right = data.histogram
    monkeypatch.setattr(data, "histogram", lambda: 2 * right())


narrow_spikes_are_low = rewrite(
    "- 3 * math.log(width)\n",
    "+ 3 * math.log(width)\n",
    "Proposition 1.1: no difference for narrow spikes, D = 3",
)
one_dimension_too_many = rewrite(
    "math.log(2 * math.pi) - 3 * math.log(width)\n",
    "math.log(2 * math.pi) - 4 * math.log(width)\n",
    "Proposition 1.1: (1.1) for D = 3, sigma = 0.1",
)
no_other_spike = rewrite(
    "right = -math.log(8)",
    "right = 2 - math.log(8)",
    "Proposition 1.1: (1.1) for D = 3, sigma = 1",
)


widen_the_interval = breaks(
    "Theorem 1.2: P(x) is the integral of p over the cube"
)(bugs.widen_the_interval)


best_noise = rewrite(
    "exact_bound = (weights * log_p).sum(1) ",
    "exact_bound = log_p.amax(1) ",
    "Theorem 1.2: E_u log p(x + u) <= log P(x)",
    "Theorem 1.3: average bound <= E log P(x)",
)
too_much_mass = rewrite(
    "P = mixture.cdf(values + 1) - mixture.cdf(values)",
    "P = 1.05 * (mixture.cdf(values + 1) - mixture.cdf(values))",
    "Theorem 1.2: the P(x) sum to at most one",
    "Theorem 1.3: E log P(x) <= -H(pi)",
)
forget_the_rest = rewrite(
    "Q, c = P / P.sum(), P.sum()",
    "Q, c = P / P.sum(), torch.ones(())",
    "Theorem 1.3: E log P = -H - KL(pi || Q) + log c",
)


wide_noise = breaks("Theorem 1.2: elbo(x) estimates E_u log p(x + u)")(
    bugs.wide_noise
)


share_the_noise = breaks(
    "Theorem 1.2: a few lines equal the library",
    "Theorem 1.2: elbo(x) estimates E_u log p(x + u)",
)(bugs.share_the_noise)


@breaks("Theorem 1.2: each call draws its own noise")
def keep_the_noise(monkeypatch):
    """Noise that is drawn once and used in every call."""
    kept = {}

    def wrong(self, x):
        return kept.setdefault(x.shape, torch.rand_like(x)), x.new_zeros(len(x))

    monkeypatch.setattr(Uniform, "forward", wrong)


forget_log_k = breaks(
    "Theorem 1.2: exp of 4 samples' bound: P(x)",
    "Theorem 1.2: 4 samples' bound <= log P(x)",
)(bugs.forget_log_k)


@breaks(
    "Theorem 1.2: a few lines equal the library",
    "Theorem 1.2: exp of 4 samples' bound: P(x)",
    "Theorem 1.2: 4 samples' bound <= log P(x)",
)
def best_of_k(monkeypatch):
    """The k-sample bound is the maximum of k."""

    def wrong(self, x, k, context=None):
        return torch.stack([self.elbo(x) for _ in range(k)]).amax(0)

    monkeypatch.setattr(Dequantized, "iw_bound", wrong)


@breaks("Theorem 1.2: and not below that of one")
def mean_of_logs(monkeypatch):
    """The k-sample bound is the worst of k."""

    def wrong(self, x, k, context=None):
        return torch.stack([self.elbo(x) for _ in range(k)]).amin(0)

    monkeypatch.setattr(Dequantized, "iw_bound", wrong)


gain_for_loss = rewrite(
    "gap = -(weights",
    "gap = (weights",
    "Theorem 1.4: log P(x) - bound = KL(U || p(u|x))",
    "Theorem 1.4: the gap is not negative",
    "Corollary 1.5: lost: mean gap and KL(pi || P)",
)
shape_without_its_mass = rewrite(
    "log_shape = log_p - P.log()[:, None] ",
    "log_shape = log_p ",
    "Theorem 1.4: p(u|x) is a density on the cube",
)


@breaks(
    "Corollary 1.5: steps are constant on cubes",
    "Corollary 1.5: steps reach -H(pi)",
    "Corollary 1.5: and its ladj",
    "Corollary 1.5: alone it scores as the table",
)
def forget_the_quantile(monkeypatch):
    """The table's flow forgets the log-determinant of the last map."""
    forward = flows.Histogram.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, ladj - 0.5 * z.square().sum(1)

    monkeypatch.setattr(flows.Histogram, "forward", wrong)


@breaks("Corollary 1.5: five lines equal the library")
def wrong_tail(monkeypatch):
    """The quantile of one tail stands for both."""
    monkeypatch.setattr(
        histogram,
        "_quantile",
        lambda below, above: torch.special.ndtri(torch.minimum(below, above)),
    )


not_lean = rewrite(
    "lean = (1 + 0.2 *",
    "lean = (1 + 0.0 *",
    "Corollary 1.5: same P, not constant: less",
)
model_is_the_data = rewrite(
    'less",\n              best,',
    'less",\n              minus_entropy,',
    "Corollary 1.5: constant, but P is not pi: less",
)


@breaks("Proposition 1.6: uniform over bytes: exactly 8")
def half_a_bit(monkeypatch):
    """A table of 256 alike values has 255."""
    monkeypatch.setattr(
        histogram,
        "_pick",
        lambda table, k: table.gather(1, k.long().T).T + 1 / 256,
    )


forget_d_log_a = rewrite(
    "units.log_prob(a * y + b) + math.log(a)",
    "units.log_prob(a * y + b)",
    "Proposition 1.6: log p(y) = log p'(a y + b) + D log a",
)
other_event = rewrite(
    "units.cdf(a * (values + 1) + b)",
    "units.cdf(a * values + 1 + b)",
    "Proposition 1.6: P(x) is the same in all units",
)
