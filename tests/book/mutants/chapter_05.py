"""Mutants of the chapter on inverse autoregressive flows."""

import torch
from support import bugs

from dgm_course import flows
from mutants import breaks, rewrite

flip_maf = breaks(
    "Proposition 5.1: and the same ladj",
    "Proposition 5.2: our step: the library's log-determinant",
    "Theorem 5.3: (5.6), sample by sample",
)(bugs.flip_maf)


rename_with_the_wrong_sign = rewrite(
    "return sigma, -mean * sigma",
    "return sigma, mean * sigma",
    "Proposition 5.1: z = sigma x + mu: the same z",
)


@breaks(
    "Proposition 5.1: x to z takes 1 evaluation",
    "Proposition 5.2: which was 1 evaluation",
    "Theorem 5.3: z = f(x) and log p(z): 1 evaluation",
)
def evaluate_twice(monkeypatch):
    """MAF's forward runs its network a second time."""
    forward = flows.MAF.forward

    def wrong(self, x, context=None):
        self.made(x, context)
        return forward(self, x, context)

    monkeypatch.setattr(flows.MAF, "forward", wrong)


@breaks(
    "Proposition 5.2: dz/dx of the search is its inverse",
    "Corollary 5.4: and one gradient",
)
def triple_the_implicit_gradient(monkeypatch):
    """The gradient of the search is three times too large."""
    solve = flows.MAF._solve_transposed

    def wrong(self, x, context, gradient):
        return 3 * solve(self, x, context, gradient)

    monkeypatch.setattr(flows.MAF, "_solve_transposed", wrong)


@breaks(
    "Proposition 5.2: own samples: density from that pass",
    "Theorem 5.3: samples of z against a grid over x",
    "Theorem 5.6: and the mean of (5.10)",
)
def add_the_ladj(monkeypatch):
    """The density of own samples adds the log-determinant."""

    def wrong(self, n, context=None):
        z = self.base.sample(n)
        x, ladj = self.flow.inverse(z, context)
        return x, self.base.log_prob(z) + ladj

    monkeypatch.setattr(flows.FlowModel, "rsample_and_log_prob", wrong)


@breaks("Theorem 5.3: 2D points of x average to it")
def swap_divergence(monkeypatch):
    """KL(q || p) in the place of KL(p || q), for torch's distributions."""
    right = torch.distributions.kl_divergence
    monkeypatch.setattr(
        torch.distributions, "kl_divergence", lambda p, q: right(q, p)
    )


@breaks(
    "Theorem 5.3: 2D points of x average to it",
    "Theorem 5.3: so do their z = f(x)",
)
def shift_divergence(monkeypatch):
    """Every divergence of torch's distributions is 0.1 too large."""
    right = torch.distributions.kl_divergence
    monkeypatch.setattr(
        torch.distributions, "kl_divergence", lambda p, q: right(p, q) + 0.1
    )


delete_the_density_of_x = rewrite(
    "return self.density.log_prob(z)",
    "return 0 * self.density.log_prob(z)",
    "Corollary 5.4: one divergence, by x and by z",
    "Corollary 5.4: and one gradient",
)
unbiased_variance = rewrite(
    "x.var(1, unbiased=False)",
    "x.var(1)",
    "Corollary 5.4: 10 points: the estimate is negative",
)
forget_log_n = rewrite(
    "entropy = math.log(3) + 0.5",
    "entropy = 0.5",
    "Corollary 5.4: three points, blurred by 0.05",
)


permute_twice = breaks("Proposition 5.5: f by masks, swap = True")(
    bugs.permute_twice
)


forget_to_negate = breaks("Proposition 5.5: ladj of g by masks, swap = False")(
    bugs.forget_to_negate
)


forget_the_scale_in_the_mean = rewrite(
    "mean, scale = -t * (-s).exp(), (-s).exp()",
    "mean, scale = -t, (-s).exp()",
    "Proposition 5.5: a MAF too, swap = False",
)
cover_one_mode_only = rewrite(
    "(line + a - m)**2 + (line + a + m)**2",
    "(line + a - m)**2 + (line + a - m)**2",
    "Theorem 5.6: forward: what any other place costs",
    "Theorem 5.6: forward KL is its integral too",
)
forget_a_half = rewrite(
    "log_cosh = torch.logaddexp(y, -y) - math.log(2)",
    "log_cosh = torch.logaddexp(y, -y) - math.log(4)",
    "Theorem 5.6: at a mode: at most log 2",
    "Theorem 5.6: (5.12) is the integral over x",
)
prefer_the_right_mode = rewrite(
    "square = 0.5 * (m**2 + sigma**2 + a**2 - 1)",
    "square = 0.5 * ((m - 1) ** 2 + sigma**2 + a**2 - 1)",
    "Theorem 5.6: reverse: m and -m are alike",
)
swap_the_terms = rewrite(
    "return log_p - log_target(x)",
    "return log_target(x) - log_p",
    "Theorem 5.6: and the mean of (5.10)",
)
turn_nothing = rewrite(
    "turn = flows.Permutation.reverse(3)",
    "turn = flows.Permutation([0, 1, 2])",
    "Corollary 5.7: turned: bent, beyond roundings",
)
forget_the_second_scale = rewrite(
    "return sigma2 * sigma, sigma2 * mu + mu2",
    "return sigma2 * sigma, mu + mu2",
    "Corollary 5.7: (5.14) is the step",
)
add_the_log_scales = rewrite(
    "total = total + log_sigma",
    "total = total - log_sigma",
    "Proposition 5.2: a chain subtracts all log sigma",
)
