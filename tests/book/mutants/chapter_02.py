"""Mutants of the chapter on variational dequantization."""

import math
import sys

import torch
from support import bugs
from torch.nn import functional as F

from dgm_course import flows
from dgm_course.dequantization import (
    Dequantized,
    Uniform,
    Variational,
    inside,
)
from dgm_course.flows import mixtures
from dgm_course.nn import SelfAttention, channel_moments
from mutants import breaks, rewrite

add_log_q = rewrite(
    "(weights * q * (log_p - q.log()))",
    "(weights * q * (log_p + q.log()))",
    "Theorem 2.1: bound = log P(x) - KL(q || p(u|x))",
    "Theorem 2.1: q = p(u|x): nothing is lost",
    "Corollary 2.2: average bound = -H(pi) - KL(pi_q || p)",
    "Corollary 2.2: smooth p, q = p(u|x): -H(pi) reached",
    "Proposition 2.3: the average over eps is the bound",
)
lean_the_other_way = rewrite(
    "t = torch.tanh(rise / 2)",
    "t = torch.tanh(-rise / 2)",
    "Theorem 2.1: leaning loses less than even noise",
)
lean_too_far = rewrite(
    "return 1 + t * (2 * u - 1)",
    "return 1 + t * 2 * u",
    "Theorem 2.1: the leaning noise is a density",
)
too_little_mass = rewrite(
    "P = mixture.cdf(values + 1) - mixture.cdf(values)",
    "P = 0.9 * (mixture.cdf(values + 1) - mixture.cdf(values))",
    "Theorem 2.1: L(q) <= log P(x)",
    "Theorem 2.1: q = p(u|x): nothing is lost",
)


@breaks("Theorem 2.1: Uniform: the bound of chapter 1")
def wide_density(monkeypatch):
    """Uniform noise says that its density is that of [0, 2)."""

    def wrong(self, x):
        return torch.rand_like(x), x.new_full((len(x),), -math.log(2))

    monkeypatch.setattr(Uniform, "forward", wrong)


steps_for_data = rewrite(
    "log_data = pmf.log()[:, None] + lean.log()",
    "log_data = pmf.log()[:, None]",
    "Corollary 2.2: average bound = -H(pi) - KL(pi_q || p)",
)
forget_what_is_cut_off = rewrite(
    "pi, c = P / P.sum(), P.sum()",
    "pi, c = P / P.sum(), 1 + 0 * P.sum()",
    "Corollary 2.2: smooth p, q = p(u|x): -H(pi) reached",
)
uniform_is_its_own = rewrite(
    "(pi * (bound(even) - c.log())).sum(), (pi",
    "(pi * pi.log()).sum(), (pi",
    "Corollary 2.2: uniform noise does not reach it",
)


half_a_sigmoid = rewrite(
    "log_scale + F.logsigmoid(a) + F.logsigmoid(-a)",
    "log_scale + F.logsigmoid(a)",
    "Proposition 2.3: q(u|x) is a density on (0, 1)",
    "Proposition 2.3: sigmoid of logistic noise: log q = 0",
)
flip_the_slope = rewrite(
    "(log_density + slope - log_logistic(eps))",
    "(log_density - slope - log_logistic(eps))",
    "Proposition 2.3: the average over eps is the bound",
    "Proposition 2.3: gradient inside = gradient outside",
)
no_gradient_through_noise = rewrite(
    "log_density = mixture.log_prob(values[:, None] + u)",
    "log_density = mixture.log_prob(values[:, None] + u.detach())",
    "Proposition 2.3: gradient inside = gradient outside",
)


@breaks(
    "Proposition 2.3: its gradient is unbiased",
    "Proposition 2.3: pictures: gradient, log-scale",
)
def cut_the_draw_off(monkeypatch):
    """The density sees the noise as a constant."""

    def wrong(self, x, context=None):
        x = self._as_float(x)
        u, log_q = self.dequantizer(x)
        return self.model.log_prob(inside(x, u.detach()), context) - log_q

    monkeypatch.setattr(Dequantized, "elbo", wrong)


@breaks(
    "Proposition 2.3: its gradient is unbiased",
    "Proposition 2.3: pictures: gradient, log-scale",
    "Proposition 2.3: pictures: gradient, shift",
)
def cut_log_q_off(monkeypatch):
    """The entropy of the noise is not trained."""

    def wrong(self, x, context=None):
        x = self._as_float(x)
        u, log_q = self.dequantizer(x)
        return self.model.log_prob(inside(x, u), context) - log_q.detach()

    monkeypatch.setattr(Dequantized, "elbo", wrong)


sign_of_log_q = breaks(
    "Proposition 2.3: elbo(x) estimates the bound",
    "Theorem 2.4: iw_bound(x, 2) estimates L_2",
    "Theorem 2.1: elbo(x) estimates log P(x) - KL",
)(bugs.add_log_q)


worst_of_k = rewrite(
    "mean = log_w[:, index].logsumexp(2) - math.log(k)",
    "mean = log_w[:, index].amin(2)",
    "Theorem 2.4: L_1 <= L_2",
    "Theorem 2.4: L_2 <= L_3",
)
sum_of_k = rewrite(
    "mean = log_w[:, index].logsumexp(2) - math.log(k)",
    "mean = log_w[:, index].logsumexp(2)",
    "Theorem 2.4: L_3 <= log P(x)",
)
weights_without_q = rewrite(
    "log_w = mixture.log_prob(values[:, None] + u_few) - q.log()",
    "log_w = mixture.log_prob(values[:, None] + u_few)",
    "Theorem 2.4: L_1 is the bound (2.1)",
)
forget_log_k = breaks(
    "Theorem 2.4: iw_bound(x, 2) estimates L_2",
    "Theorem 2.4: uniform noise: L_2, and not L_1",
    "Theorem 2.4: exp of it: the mean weight is P(x)",
)(bugs.forget_log_k)


@breaks("Theorem 2.4: uniform noise: L_2, and not L_1")
def weigh_one_draw(monkeypatch):
    """All k weights are those of the same noise."""
    monkeypatch.setattr(
        Dequantized, "iw_bound", lambda self, x, k: self.elbo(x)
    )


@breaks("Theorem 2.4: uniform noise: L_2, and not L_1")
def average_the_bounds(monkeypatch):
    """The logarithms are averaged, not the weights."""

    def wrong(self, x, k, context=None):
        return torch.stack([self.elbo(x) for _ in range(k)]).mean(0)

    monkeypatch.setattr(Dequantized, "iw_bound", wrong)


@breaks(
    "Proposition 2.5: pixels with even i + j are kept",
    "Proposition 2.5: our checkerboard: the library's",
)
def columns_for_a_checkerboard(monkeypatch):
    """No row is shifted: every second column is kept."""
    monkeypatch.setattr(
        flows.Checkerboard, "_cross", staticmethod(lambda a, b: (a, b))
    )


@breaks(
    "Proposition 2.5: the others do not see each other",
    "Proposition 2.5: (2.6) = log|det J| by autograd",
    "Proposition 2.5: (2.7): ladj of two levels, by autograd",
    "Proposition 2.5: attention: they see none of them",
    "Proposition 2.5: so (2.6) holds with attention too",
)
def show_the_masked_half(monkeypatch):
    """The network, attention included, sees what it is going to change."""
    outputs = flows.Coupling.outputs

    def wrong(self, kept, changed, context):
        return outputs(self, kept + changed, changed, context)

    monkeypatch.setattr(flows.Coupling, "outputs", wrong)


@breaks(
    "Proposition 2.5: swapped: they alone change",
    "Proposition 2.5: and each of them sees each kept one",
)
def never_swap(monkeypatch):
    """A coupling keeps the same part, asked for the other one or not."""
    monkeypatch.setattr(
        flows.Checkerboard, "split", lambda self, x: self.parts(x)
    )
    monkeypatch.setattr(
        flows.Checkerboard, "join", lambda self, a, b: self.whole(a, b)
    )


@breaks("Proposition 2.5: our squeeze: the library's")
def squeeze_by_columns(monkeypatch):
    """The four pixels of a block come in another order."""

    def wrong(self, x, context=None):
        b, c, h, w = x.shape
        blocks = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 5, 3, 2, 4)
        return blocks.reshape(b, 4 * c, h // 2, w // 2), x.new_zeros(b)

    monkeypatch.setattr(flows.Squeeze, "forward", wrong)


@breaks(
    "Proposition 2.5: (2.7): ladj of two levels, by autograd",
    "Proposition 2.5: our levels: the library's",
    "Proposition 2.5: all 16 numbers of z: x and -ladj",
    "Proposition 2.5: those that leave early know of x",
)
def drop_early_latents(monkeypatch):
    """What leaves after a level is forgotten: zeros stand in its place."""
    forward = flows.MultiScale.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        last = math.prod(self.shapes[-1])
        return torch.cat([0 * z[:, :-last], z[:, -last:]], dim=1), ladj

    monkeypatch.setattr(flows.MultiScale, "forward", wrong)


@breaks("Proposition 2.5: our levels: the library's")
def forget_a_level(monkeypatch):
    """The log-determinant is that of the last level alone."""
    forward = flows.MultiScale.forward

    def wrong(self, x, context=None):
        z, _ = forward(self, x, context)
        early, _ = self.levels[0](x, context)
        return z, self.levels[1](early.chunk(2, dim=1)[0], context)[1]

    monkeypatch.setattr(flows.MultiScale, "forward", wrong)


@breaks("Proposition 2.5: all 16 numbers of z: x and -ladj")
def keep_the_sign_of_levels(monkeypatch):
    """The way back through the levels returns the ladj of the way there."""
    bugs.negate(monkeypatch, flows.MultiScale, "inverse")


@breaks("Proposition 2.6: two triangular solves: x and -ladj")
def keep_the_sign_of_the_convolution(monkeypatch):
    """The inverse of the convolution returns the ladj of the way there."""
    bugs.negate(monkeypatch, flows.InvertibleConv, "inverse")


@breaks(
    "Proposition 2.6: our convolution: the library's",
    "Proposition 2.6: (2.8), W: log|det J| by autograd",
)
def add_the_signs(monkeypatch):
    """The signs of U's diagonal enter the log-determinant."""

    def wrong(self, x):
        ladj = (self.sign * self.log_size).sum() * x[0, 0].numel()
        return ladj.expand(len(x))

    monkeypatch.setattr(flows.InvertibleConv, "_ladj", wrong)


@breaks(
    "Proposition 2.6: our convolution: the library's",
    "Proposition 2.6: it starts as a rotation",
)
def lose_the_signs(monkeypatch):
    """The diagonal of U is exp(log|s|): its signs are lost."""
    factors = flows.InvertibleConv.factors

    def wrong(self):
        lower, upper = factors(self)
        return lower, upper.triu(1) + upper.diagonal().abs().diag()

    monkeypatch.setattr(flows.InvertibleConv, "factors", wrong)


@breaks("Proposition 2.6: (2.8), W: log|det J| by autograd")
def one_place_only(monkeypatch):
    """The convolution's log-determinant is that of a single place."""
    ladj = flows.InvertibleConv._ladj
    monkeypatch.setattr(
        flows.InvertibleConv,
        "_ladj",
        lambda self, x: ladj(self, x) / x[0, 0].numel(),
    )


@breaks("Proposition 2.6: two triangular solves: x and -ladj")
def permute_the_wrong_way(monkeypatch):
    """The inverse of the convolution applies P in place of its transpose."""
    inverse = flows.InvertibleConv.inverse

    def wrong(self, z, context=None):
        return inverse(self, z[:, self.order][:, self.order], context)

    monkeypatch.setattr(flows.InvertibleConv, "inverse", wrong)


@breaks(
    "Proposition 2.6: first batch: mean 0",
    "Proposition 2.6: variance 1 (1e-6 is added to it)",
)
def never_normalize(monkeypatch):
    """ActNorm starts as the identity and stays it."""
    monkeypatch.setattr(flows.ActNorm, "_initialize", lambda self, x: None)


@breaks("Proposition 2.6: (2.8), s: log|det J| by autograd")
def one_place_of_actnorm(monkeypatch):
    """ActNorm's log-determinant is that of a single place."""
    forward = flows.ActNorm.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, ladj / x[0, 0].numel()

    monkeypatch.setattr(flows.ActNorm, "forward", wrong)


@breaks("Proposition 2.6: BatchNorm, evaluated: log|det J|")
def forget_the_averages(monkeypatch):
    """BatchNorm's log-determinant leaves its averages out."""
    forward = flows.BatchNorm.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, 0 * ladj

    monkeypatch.setattr(flows.BatchNorm, "forward", wrong)


@breaks("Proposition 2.6: later batches set nothing")
def normalize_every_batch(monkeypatch):
    """ActNorm sets its numbers anew for each batch."""
    forward = flows.ActNorm.forward

    def wrong(self, x, context=None):
        if len(x) > 1:  # not the single rows of a Jacobian
            self.initialized.fill_(False)
            self._asked = False
        return forward(self, x, context)

    monkeypatch.setattr(flows.ActNorm, "forward", wrong)


@breaks("Proposition 2.6: nor after saving and loading")
def forget_the_first_batch(monkeypatch):
    """That ActNorm has seen its first batch is not saved."""
    make = flows.ActNorm.__init__

    def wrong(self, channels):
        make(self, channels)
        no = self.initialized
        del self.initialized
        self.register_buffer("initialized", no, persistent=False)

    monkeypatch.setattr(flows.ActNorm, "__init__", wrong)


@breaks("Proposition 2.6: nor does evaluation")
def normalize_in_evaluation(monkeypatch):
    """A test batch sets ActNorm where no training batch has."""
    forward = flows.ActNorm.forward

    def wrong(self, x, context=None):
        if not self._asked:
            self._initialize(x)
        return forward(self, x, context)

    monkeypatch.setattr(flows.ActNorm, "forward", wrong)


@breaks("Proposition 2.6: both are trained on")
def freeze_actnorm(monkeypatch):
    """What the first batch has set is a constant from then on."""
    forward = flows.ActNorm.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        zero = 0 * (self.shift + self.log_scale).sum()
        return z.detach() + zero, ladj.detach()

    monkeypatch.setattr(flows.ActNorm, "forward", wrong)


@breaks("Proposition 2.6: variance 1 (1e-6 is added to it)")
def divide_by_one_less(monkeypatch):
    """The variance is the unbiased one."""

    def wrong(x):
        mean, variance, n = channel_moments(x)
        return mean, variance * n / (n - 1), n

    module = sys.modules["dgm_course.flows.glow"]
    monkeypatch.setattr(module, "channel_moments", wrong)


@breaks("Proposition 2.6: ActNorm's inverse: x and -ladj")
def shift_before_scaling_back(monkeypatch):
    """ActNorm's inverse undoes its two steps in the order of the forward."""

    def wrong(self, z, context=None):
        x = (z - self.shift.view(-1, 1, 1)) * (-self.log_scale).exp().view(
            -1, 1, 1
        )
        return x, (-self.log_scale.sum() * z[0, 0].numel()).expand(len(z))

    monkeypatch.setattr(flows.ActNorm, "inverse", wrong)


@breaks("Proposition 2.6: BatchNorm, evaluated: the averages")
def never_average(monkeypatch):
    """BatchNorm's averages stay where they began."""
    forward = flows.BatchNorm.forward

    def wrong(self, x, context=None):
        before = self.mean.clone(), self.variance.clone()
        found = forward(self, x, context)
        self.mean, self.variance = before
        return found

    monkeypatch.setattr(flows.BatchNorm, "forward", wrong)


@breaks("Proposition 2.6: BatchNorm's inverse: x and -ladj")
def leave_the_mean_out(monkeypatch):
    """BatchNorm's inverse does not add the mean."""
    inverse = flows.BatchNorm.inverse

    def wrong(self, z, context=None):
        x, ladj = inverse(self, z, context)
        return x - self.mean.view(-1, 1, 1), ladj

    monkeypatch.setattr(flows.BatchNorm, "inverse", wrong)


@breaks(
    "Proposition 2.7: far out, float32: z",
    "Proposition 2.7: far out, float32: log-slope",
)
def pass_through_the_interval(monkeypatch):
    """The logit is taken of F, which rounds to 0 and to 1."""

    def wrong(self, x, parameters):
        log_weight, mean, s = self._split(parameters)
        u = (x - mean) * (-s).exp()
        below = (log_weight.exp() * u.sigmoid()).sum(0)
        inside = (log_weight - s).exp() * u.sigmoid() * (-u).sigmoid()
        log_slope = inside.sum(0).log() - below.log() - (1 - below).log()
        return torch.logit(below), log_slope

    monkeypatch.setattr(flows.LogisticMixture, "forward", wrong)


@breaks(
    "Proposition 2.7: (2.10) is the slope (autograd)",
    "Proposition 2.7: as on paper: the library's",
)
def density_for_the_slope(monkeypatch):
    """The slope is the density of the mixture, without the logit's."""
    forward = flows.LogisticMixture.forward

    def wrong(self, x, parameters):
        z, log_slope = forward(self, x, parameters)
        return z, log_slope + F.logsigmoid(z) + F.logsigmoid(-z)

    monkeypatch.setattr(flows.LogisticMixture, "forward", wrong)


@breaks("Proposition 2.8: (2.11): the library's gradients")
def detach_the_search(monkeypatch):
    """Bisection returns x without a gradient."""
    inverse = flows.LogisticMixture.inverse

    def wrong(self, z, parameters):
        x, ladj = inverse(self, z, parameters)
        return x.detach(), ladj

    monkeypatch.setattr(flows.LogisticMixture, "inverse", wrong)


@breaks("Proposition 2.8: ladj of the inverse: - log-slope")
def slope_of_the_other_way(monkeypatch):
    """The search returns the log-slope of the map that it inverts."""
    bugs.negate(monkeypatch, flows.LogisticMixture, "inverse")


@breaks("Proposition 2.8: it moves with the solution")
def hold_the_slope_still(monkeypatch):
    """The log-slope is evaluated at an x that has no gradient."""
    inverse = flows.LogisticMixture.inverse

    def wrong(self, z, parameters):
        x, _ = inverse(self, z, parameters)
        return x, -self.forward(x.detach(), parameters)[1]

    monkeypatch.setattr(flows.LogisticMixture, "inverse", wrong)


@breaks(
    "Proposition 2.8: the search finds x",
    "Proposition 2.8: far out, float32: it finds x",
)
def search_in_the_interval(monkeypatch):
    """Bisection compares F itself, which has no digits close to 1."""

    def wrong(self, z, log_weight, mean, s):
        ends = mean + s.exp() * z
        low, high = ends.amin(0), ends.amax(0)
        for _ in range(80):
            middle = 0.5 * (low + high)
            u = (middle - mean) * (-s).exp()
            left = (log_weight.exp() * u.sigmoid()).sum(0) < z.sigmoid()
            low, high = low.where(~left, middle), high.where(left, middle)
        return 0.5 * (low + high)

    monkeypatch.setattr(flows.LogisticMixture, "_bisect", wrong)


cut_our_search_off = rewrite(
    "return x + (z - again) * (-log_slope.detach()).exp()",
    "return x + 0 * (z - again)",
    "Proposition 2.8: (2.11): our gradients",
)
wrong_branch = rewrite(
    "left = chain.forward(middle, theta)[0] < z",
    "left = chain.forward(middle, theta)[0] > z",
    "Proposition 2.8: our bisection finds it too",
)


@breaks("Proposition 2.8: the search finds x")
def stop_early(monkeypatch):
    """Bisection stops after a dozen steps."""
    monkeypatch.setattr(mixtures.math, "ceil", lambda number: 12)


@breaks("Proposition 2.5: and each of them sees each kept one")
def attend_to_what_came_before(monkeypatch):
    """The mask of an autoregressive model stands in a coupling."""
    make = SelfAttention.__init__

    def wrong(self, channels, heads=4, causal=False):
        make(self, channels, heads, causal=True)

    monkeypatch.setattr(SelfAttention, "__init__", wrong)


@breaks("Proposition 2.5: and each of them sees each kept one")
def attend_to_nothing(monkeypatch):
    """Attention passes its input on."""
    monkeypatch.setattr(SelfAttention, "forward", lambda self, x: x)


@breaks(
    "Proposition 2.3: pictures: our noise is the library's",
    "Proposition 2.3: log q of a draw is the density at u",
)
def ignore_the_picture(monkeypatch):
    """The noise has one density for all pictures: h sees no x."""
    forward = Variational.forward
    monkeypatch.setattr(
        Variational, "forward", lambda self, x: forward(self, 0 * x)
    )


@breaks("Theorem 2.1: elbo(x) estimates log P(x) - KL")
def share_the_noise(monkeypatch):
    """One draw of eps serves all pictures of a batch."""
    sample = flows.StandardLogistic.sample

    def wrong(self, n, temperature=1.0):
        return sample(self, 1, temperature).expand(n, -1)

    monkeypatch.setattr(flows.StandardLogistic, "sample", wrong)


@breaks("Theorem 2.1: elbo(x) estimates log P(x) - KL")
def narrow_noise(monkeypatch):
    """The base draws from a narrower distribution than it states."""
    sample = flows.StandardLogistic.sample

    def wrong(self, n, temperature=1.0):
        return 0.9 * sample(self, n, temperature)

    monkeypatch.setattr(flows.StandardLogistic, "sample", wrong)


@breaks("Proposition 2.3: q(u|x) integrates to 1")
def forget_the_logit(monkeypatch):
    """The way to the cube returns no log-determinant."""
    forward = flows.Logit.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, torch.zeros_like(ladj)

    monkeypatch.setattr(flows.Logit, "forward", wrong)
