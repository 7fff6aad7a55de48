"""Mutants of the errata: wrong code that would refute nothing."""

import math

import torch
from support import bugs

from dgm_course import flows, vae
from dgm_course.reversible import ReversibleBlock
from mutants import breaks, rewrite

widen_the_interval = breaks("Erratum 1.1: P(x) is the mean of p(y) over u")(
    bugs.widen_the_interval
)


@breaks(
    "Erratum 3.1: x2 = y2 - G(y1), x1 = y1 - F(x2)",
    "Erratum 3.1: the slide's way back is not x",
)
def swap_f_and_g(monkeypatch):
    """A reversible block applies G, then F."""

    def wrong(self, x, context=None):
        x1, x2 = x.chunk(2, dim=1)
        y1 = x1 + self.g.net(x2)
        y = torch.cat([y1, x2 + self.f.net(y1)], dim=1)
        return y, x.new_zeros(len(x))

    monkeypatch.setattr(ReversibleBlock, "forward", wrong)


random_numbers = rewrite(
    "log_p = mixture.log_prob(values[:, None] + nodes)",
    "log_p = torch.rand(20, 40).double().log()",
    "Erratum 1.1: P(x) is the mean of p(y) over u",
    "Erratum 1.2: p(u|x) is a density on the cube",
)
constant_on_cubes = rewrite(
    "log_p = mixture.log_prob(values[:, None] + nodes)",
    "log_p = (mixture.cdf(values + 1) - mixture.cdf(values)"
    ").log()[:, None].expand(20, 40)",
    "Erratum 1.1: log p(y) exceeds log P(x) for some u",
)
halves_alike = rewrite(
    "ends = mixture.cdf(values + 0.5)",
    "ends = mixture.cdf(values) + P / 2",
    "Erratum 1.2: but half of the cube has not half of it",
)


wide_noise = breaks("Erratum 1.2: data side uniform: moment 1")(bugs.wide_noise)


@breaks("Erratum 1.3: {0, ..., 255}: 8 bits")
def forget_the_quantile(monkeypatch):
    """The table's flow forgets the log-determinant of its last map."""
    forward = flows.Histogram.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, ladj - 0.5 * z.square().sum(1)

    monkeypatch.setattr(flows.Histogram, "forward", wrong)


share_the_noise = breaks("Erratum 1.4: vector u: below 0, sigma = 0.01")(
    bugs.share_the_noise
)


vector_noise = rewrite(
    "scalar = u[:, :1].expand(-1, 2)",
    "scalar = u",
    "Erratum 1.4: scalar u: above 0, so above log P(x)",
    "Erratum 1.4: and it grows by log 100, without bound",
)
product_in_this_order = rewrite(
    "model = random_maf(3, 2, order)",
    "model = random_maf(3, 1)",
    "Erratum 4.1: reversed order: not quadratic in x_3",
)
product_in_the_other_order = rewrite(
    "model = random_maf(3, 2, order)",
    "model = random_maf(3, 1)\n"
    "    turn = flows.Permutation.reverse(3)\n"
    "    model.flow = flows.Compose(turn, model.flow)",
    "Erratum 4.1: same order: log p is quadratic in x_3",
    "Erratum 4.1: reversed order: not quadratic in x_1",
)


@breaks(
    "Erratum 5.1: z from x, first pair: 1 evaluation",
    "Erratum 5.3: z = f(x) draws in 1 evaluation",
)
def evaluate_twice(monkeypatch):
    """MAF's forward calls its network twice."""
    forward = flows.MAF.forward

    def wrong(self, x, context=None):
        forward(self, x, context)
        return forward(self, x, context)

    monkeypatch.setattr(flows.MAF, "forward", wrong)


parameters_of_z = rewrite(
    "(mean, scale), (_, scale_z) = hatted(x), hatted(z)",
    "(mean, scale), (_, scale_z) = hatted(z), hatted(x)",
    "Erratum 5.2: x = sigma(x) z + mu(x)",
)
unbiased_variance = rewrite(
    "correction=0",
    "correction=1",
    "Erratum 5.4: MLE of the variance: (n - 1) / n",
    "Erratum 5.4: so it is biased",
)


@breaks(
    "Erratum 5.5: the masked form is the coupling",
    "Erratum 5.5: sigma_i = 1 for i <= d",
)
def scale_five(monkeypatch):
    """The scale of every conditional is five times too large."""
    right = flows.Affine.log_scale
    monkeypatch.setattr(
        flows.Affine,
        "log_scale",
        lambda self, raw: right(self, raw) + math.log(5),
    )


one_step = rewrite(
    "random_maf(3, 2, order).flow)",
    "random_maf(3, 1).flow)",
    "Erratum 5.6: reversed in between: no such step",
)
changed_order = rewrite(
    'bend("same")',
    'bend("reverse")',
    "Erratum 5.6: same order: affine in z_3, one step",
)


flip_scaling = breaks("Erratum 5.7: 5 points: a finite likelihood")(
    bugs.flip_scaling
)


a_density = rewrite(
    "- (noise.cdf(low + h) - noise.cdf(low)).log().mean()",
    "- noise.log_prob(low).mean()",
    "Erratum 5.7: and a KL without limit, h = 1e-03",
)


add_the_kl = breaks(
    "Erratum 8.1: with the log it is the ELBO",
    "Erratum 8.2: the integral is the sum",
)(bugs.add_the_kl)


swap_kl = breaks("Erratum 8.3: any other: it is the divergence")(bugs.swap_kl)


@breaks(
    "Erratum 10.1: minus: the integral is 1",
    "Erratum 10.1: plus, as on the slide: it is 4",
)
def ladj_of_the_way_back(monkeypatch):
    """A scaling returns the log-determinant of its inverse."""
    bugs.flip_scaling(monkeypatch)


decode_the_noise = rewrite(
    "decoder(flow.inverse(eps)[0])",
    "decoder(eps)",
    "Erratum 10.2: p(x|g(eps)): both lines agree",
)
base_at_z = rewrite(
    "z if at_z else z_star",
    "z",
    "Erratum 10.1: base at z*, not at z: it is 1/2",
)


power = rewrite(
    "** (1 / price)",
    "** price",
    "Erratum 11.1: these spend less than the budget",
    "Erratum 11.2: a larger beta: less information",
    "Erratum 11.2: beta = 8 against 1: a half is gone",
)
spend_it_all = rewrite(
    "[best(2 + h) for",
    "[best(2 + 0 * h) for",
    "Erratum 11.1: KL < budget: each one is beaten",
    "Erratum 11.1: which is not reached",
)
stay_away = rewrite(
    "(1.0, 0.1, 0.01, 0.001)",
    "(1.0, 0.1, 0.01, 2.0)",
    "Erratum 11.1: and rises to the limit, up to 0.001",
)


@breaks("Erratum 11.2: the information is within the budget")
def all_is_told(monkeypatch):
    """The information is log n, whatever the posteriors."""
    log_n = torch.tensor(math.log(3)).double()
    monkeypatch.setattr(
        vae.DiscreteVAE, "information", property(lambda toy: log_n)
    )


beyond_the_budget = rewrite(
    "if one.kl.mean() <= budget",
    "if one.kl.mean() > budget",
    "Erratum 11.1: KL <= budget: best(2) is the maximum",
)
