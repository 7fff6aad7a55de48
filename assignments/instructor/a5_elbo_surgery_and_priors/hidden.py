"""Hidden tests of assignment 5; see ``dgm_course.grading.questions``."""

import math

import numpy as np
import torch

from dgm_course.data import eight_gaussians
from dgm_course.grading.levels import levels
from dgm_course.grading.questions import (
    Question,
    Test,
    Trained,
    Written,
    Wrong,
)

RNG = np.random.default_rng(753_001)


def posteriors(n, d, spread=1.0):
    """Means and log-scales of n diagonal Gaussians."""
    return spread * RNG.normal(size=(n, d)), 0.5 * RNG.normal(size=(n, d))


def kl_test(name, n, d, points):
    mu, log_sigma = posteriors(n, d)
    each = 0.5 * (mu**2 + np.exp(2 * log_sigma) - 1) - log_sigma
    return Test(
        name,
        (mu, log_sigma),
        points,
        "The divergence of a diagonal Gaussian is a sum over dimensions, one "
        "number for each data point.",
        expected=each.sum(1),
    )


Q1 = Question(
    "a5.q1",
    "The KL of one posterior",
    "gaussian_kl",
    tests=[
        kl_test("a batch", 8, 3, 0.5),
        kl_test("one dimension", 5, 1, 0.25),
        kl_test("one data point", 1, 10, 0.25),
    ],
    wrong=[
        Wrong(
            "averaged over dimensions",
            """
def gaussian_kl(mu, log_sigma):
    variance = torch.exp(2 * log_sigma)
    return ((mu.square() + variance - 1) / 2 - log_sigma).mean(1)
""",
        ),
        Wrong(
            "sigma for its square",
            """
def gaussian_kl(mu, log_sigma):
    return ((mu.square() + log_sigma.exp() - 1) / 2 - log_sigma).sum(1)
""",
        ),
        Wrong(
            "the reverse divergence",
            """
def gaussian_kl(mu, log_sigma):
    precision = torch.exp(-2 * log_sigma)
    each = (precision * (1 + mu.square()) - 1) / 2 + log_sigma
    return each.sum(1)
""",
        ),
        Wrong(
            "the wrong sign of log sigma",
            """
def gaussian_kl(mu, log_sigma):
    variance = torch.exp(2 * log_sigma)
    return ((mu.square() + variance - 1) / 2 + log_sigma).sum(1)
""",
        ),
        Wrong(
            "one number for the batch",
            """
def gaussian_kl(mu, log_sigma):
    variance = torch.exp(2 * log_sigma)
    return ((mu.square() + variance - 1) / 2 - log_sigma).sum(1).mean()
""",
        ),
    ],
)


def log_mixture(z, mu, log_sigma):
    """Log-density of an equal mixture of diagonal Gaussians."""
    t = (z[:, None] - mu) / np.exp(log_sigma)
    each = -0.5 * t**2 - log_sigma - 0.5 * math.log(2 * math.pi)
    each = each.sum(2)
    top = each.max(1, keepdims=True)
    return top[:, 0] + np.log(np.exp(each - top).mean(1))


def aggregated_test(name, codes, n, d, points, far=0.0):
    mu, log_sigma = posteriors(n, d)
    z = far + RNG.normal(size=(codes, d))
    return Test(
        name,
        (z, mu, log_sigma),
        points,
        "q(z) is the mean of the n densities: a logsumexp over the data "
        "points of sums over the dimensions, minus log n.",
        expected=log_mixture(z, mu, log_sigma),
    )


Q2 = Question(
    "a5.q2",
    "The aggregated posterior",
    "log_aggregated",
    tests=[
        aggregated_test("several codes", 6, 9, 2, 0.5),
        aggregated_test("as many codes as posteriors", 4, 4, 3, 0.125),
        aggregated_test("one posterior", 5, 1, 4, 0.125),
        aggregated_test("far from all", 3, 7, 2, 0.25, far=400.0),
    ],
    wrong=[
        Wrong(
            "no - log n",
            """
def log_aggregated(z, mu, log_sigma):
    each = torch.distributions.Normal(mu, log_sigma.exp())
    return each.log_prob(z[:, None]).sum(2).logsumexp(1)
""",
        ),
        Wrong(
            "leaves the logarithms",
            """
def log_aggregated(z, mu, log_sigma):
    each = torch.distributions.Normal(mu, log_sigma.exp())
    return each.log_prob(z[:, None]).sum(2).exp().mean(1).log()
""",
        ),
        Wrong(
            "the mean of the logarithms",
            """
def log_aggregated(z, mu, log_sigma):
    each = torch.distributions.Normal(mu, log_sigma.exp())
    return each.log_prob(z[:, None]).sum(2).mean(1)
""",
        ),
        Wrong(
            "a mixture in each dimension by itself",
            """
def log_aggregated(z, mu, log_sigma):
    each = torch.distributions.Normal(mu, log_sigma.exp())
    log_q = each.log_prob(z[:, None]).logsumexp(1) - math.log(len(mu))
    return log_q.sum(1)
""",
        ),
        Wrong(
            "minus the log of the number of codes",
            """
def log_aggregated(z, mu, log_sigma):
    each = torch.distributions.Normal(mu, log_sigma.exp())
    log_q = each.log_prob(z[:, None]).sum(2).logsumexp(1)
    return log_q - math.log(len(z))
""",
        ),
    ],
)


def information(q):
    """Mutual information of a uniform row index and its column."""
    joint = q / len(q)
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    used = joint > 0
    value = (joint[used] * np.log(joint[used] / product[used])).sum()
    return np.array(value), np.array(value)


def table(n, m, zeros=0.0, unused=0):
    """Rows of probabilities, some of them zero, some states unused."""
    q = RNG.gamma(0.7, size=(n, m)) * (RNG.uniform(size=(n, m)) > zeros)
    q[:, 0] += 0.05
    if unused:
        q[:, -unused:] = 0
    return q / q.sum(1, keepdims=True)


def only(part, expected, form):
    """Look at one of the two numbers that come back."""

    def check(answer):
        two = isinstance(answer, tuple | list) and len(answer) == 2
        if not two:
            return "a pair of numbers is expected"
        value = np.asarray(answer[part], dtype=float)
        if value.shape != ():
            return f"the {form} form should be one number"
        if not np.isclose(value, expected[part], rtol=1e-8, atol=1e-8):
            return f"the {form} form has another value"
        return None

    return check


def information_tests():
    cases = [
        ("no zeros", table(6, 4), 0.3),
        ("zeros", table(7, 9, zeros=0.4), 0.3),
        ("unused states", table(5, 8, zeros=0.3, unused=2), 0.3),
        ("one data point", table(1, 5), 0.1),
    ]
    hints = (
        "It is the mean over the data of the divergence of a row from the "
        "mean row; 0 log 0 is 0.",
        "The entropies of q(i | z) are averaged with the weights q(z), and "
        "log n has the n of the table; a state that no row uses weighs "
        "nothing.",
    )
    return [
        Test(
            f"{form} form, {name}",
            (q,),
            points,
            hint,
            check=only(part, information(q), form),
        )
        for name, q, points in cases
        for part, (form, hint) in enumerate(zip(("first", "second"), hints))
    ]


Q3 = Question(
    "a5.q3",
    "Mutual information, twice",
    "mutual_information",
    tests=information_tests(),
    wrong=[
        Wrong(
            "0 log 0 is NaN",
            """
def mutual_information(q):
    qz = q.mean(0)
    first = (q * (q / qz).log()).sum(1).mean()
    index = q / q.sum(0)
    entropy = -(index * index.log()).sum(0)
    return first, math.log(len(q)) - (qz * entropy).sum()
""",
        ),
        Wrong(
            "log of the number of states",
            """
_right = mutual_information
def mutual_information(q):
    first, second = _right(q)
    return first, second - math.log(len(q)) + math.log(q.shape[1])
""",
        ),
        Wrong(
            "bits",
            """
_right = mutual_information
def mutual_information(q):
    return tuple(value / math.log(2) for value in _right(q))
""",
        ),
        Wrong(
            "a plain mean over the states",
            """
_right = mutual_information
def mutual_information(q):
    index = q / q.sum(0).clamp(min=1e-300)
    entropy = torch.special.entr(index).sum(0)
    return _right(q)[0], math.log(len(q)) - entropy.mean()
""",
        ),
        Wrong(
            "a sum over the data points",
            """
_right = mutual_information
def mutual_information(q):
    first, second = _right(q)
    return first * len(q), second
""",
        ),
        Wrong(
            "the entropy of q(z), without that of the rows",
            """
_right = mutual_information
def mutual_information(q):
    return torch.special.entr(q.mean(0)).sum(), _right(q)[1]
""",
        ),
        Wrong(
            "the divergence from q(z) to the rows",
            """
_right = mutual_information
def mutual_information(q):
    qz = q.mean(0).expand_as(q)
    first = torch.special.xlogy(qz, qz) - torch.special.xlogy(qz, q)
    return first.sum(1).mean(), _right(q)[1]
""",
        ),
    ],
)


def vamp_test(name, codes, components, pixels, d, points, far=0.0):
    logits = 2 * RNG.normal(size=(components, pixels))
    W, V = (RNG.normal(size=(d, pixels)) for _ in range(2))
    w, v = RNG.normal(size=d), RNG.normal(size=d)
    x = 1 / (1 + np.exp(-logits))
    mu, log_sigma = x @ W.T + w, np.tanh(x @ V.T + v) - 1
    z = far + RNG.normal(size=(codes, d))
    return Test(
        name,
        (z, logits, W, w, V, v),
        points,
        "Pseudo-inputs are pictures: a sigmoid makes them of the logits, the "
        "encoder makes Gaussians of them, and the prior is the mean of the "
        "K densities.",
        expected=log_mixture(z, mu, log_sigma),
    )


def vamp_wrong(body):
    """A wrong VampPrior from its last lines."""
    return (
        "def vamp_log_prob(z, logits, W, w, V, v):\n"
        "    mu, log_sigma = encoder({inputs}, W, w, V, v)\n"
        "    each = torch.distributions.Normal(mu, {scale})\n"
        "    log_p = each.log_prob(z[:, None]).sum(2)\n"
        "    return {value}\n"
    ).format(**body)


VAMP = {
    "inputs": "logits.sigmoid()",
    "scale": "log_sigma.exp()",
    "value": "log_p.logsumexp(1) - math.log(len(logits))",
}

Q4 = Question(
    "a5.q4",
    "The VampPrior",
    "vamp_log_prob",
    tests=[
        vamp_test("several pseudo-inputs", 6, 5, 9, 2, 0.5),
        vamp_test("one pseudo-input", 4, 1, 6, 3, 0.25),
        vamp_test("codes far away", 3, 4, 5, 1, 0.25, far=-300.0),
    ],
    wrong=[
        Wrong("no sigmoid", vamp_wrong({**VAMP, "inputs": "logits"})),
        Wrong(
            "clamped instead",
            vamp_wrong({**VAMP, "inputs": "logits.clamp(0, 1)"}),
        ),
        Wrong(
            "no - log K", vamp_wrong({**VAMP, "value": "log_p.logsumexp(1)"})
        ),
        Wrong(
            "log sigma as sigma",
            vamp_wrong({**VAMP, "scale": "log_sigma.abs()"}),
        ),
        Wrong(
            "leaves the logarithms",
            vamp_wrong({**VAMP, "value": "log_p.exp().mean(1).log()"}),
        ),
        Wrong(
            "the mean of the logarithms",
            vamp_wrong({**VAMP, "value": "log_p.mean(1)"}),
        ),
    ],
)


def regressions(mu, log_sigma):
    """Each z_i regressed on those before it, with the moments of q(z)."""
    d = mu.shape[1]
    mean = mu.mean(0)
    covariance = np.cov(mu.T, bias=True).reshape(d, d)
    covariance = covariance + np.diag(np.exp(2 * log_sigma).mean(0))
    B, variance = np.zeros((d, d)), np.zeros(d)
    for i in range(d):
        cross = covariance[:i, i]
        B[i, :i] = np.linalg.solve(covariance[:i, :i], cross)
        variance[i] = covariance[i, i] - cross @ B[i, :i]
    return mean - B @ mean, B, 0.5 * np.log(variance)


def prior_test(name, n, d, points):
    mu, log_sigma = posteriors(n, d)
    mu = mu @ RNG.normal(size=(d, d)) + RNG.normal(size=d)
    return Test(
        name,
        (mu, log_sigma),
        points,
        "The best prior of a family is its maximum likelihood fit to q(z), "
        "whose mean is that of the means, and whose covariance is that of "
        "the means plus the mean variance. Its conditionals are regressions "
        "on the variables before.",
        expected=regressions(mu, log_sigma),
        rtol=1e-6,
    )


PRIOR = """
def best_ar_prior(mu, log_sigma):
    mean = mu.mean(0)
    centered = mu - mean
    covariance = {covariance}
    R = torch.linalg.cholesky(covariance)
    scale = R.diagonal()
    unit = torch.eye(len(R), dtype=R.dtype)
    B = {B}
    return {c}, B, {log_s}
"""
FIT = {
    "covariance": "centered.T @ centered / len(mu)"
    " + (2 * log_sigma).exp().mean(0).diag()",
    "B": "(unit - scale[:, None] * torch.linalg.inv(R)).tril(-1)",
    "c": "mean - B @ mean",
    "log_s": "scale.log()",
}

Q5 = Question(
    "a5.q5",
    "The best prior of a family",
    "best_ar_prior",
    tests=[
        prior_test("three dimensions", 12, 3, 0.5),
        prior_test("one dimension", 6, 1, 0.25),
        prior_test("two posteriors, four dimensions", 2, 4, 0.25),
    ],
    wrong=[
        Wrong(
            "the covariance of the means alone",
            PRIOR.format(
                **{
                    **FIT,
                    "covariance": "centered.T @ centered / len(mu)"
                    " + 1e-9 * torch.eye(mu.shape[1], dtype=mu.dtype)",
                }
            ),
        ),
        Wrong(
            "the covariance without the means",
            PRIOR.format(
                **{**FIT, "covariance": "(2 * log_sigma).exp().mean(0).diag()"}
            ),
        ),
        Wrong(
            "divides by n - 1",
            PRIOR.format(
                **{
                    **FIT,
                    "covariance": "centered.T @ centered / max(1, len(mu) - 1)"
                    " + (2 * log_sigma).exp().mean(0).diag()",
                }
            ),
        ),
        Wrong(
            "the mean of the scales, squared",
            PRIOR.format(
                **{
                    **FIT,
                    "covariance": "centered.T @ centered / len(mu)"
                    " + log_sigma.exp().mean(0).square().diag()",
                }
            ),
        ),
        Wrong("c is the mean", PRIOR.format(**{**FIT, "c": "mean"})),
        Wrong(
            "marginal scales",
            PRIOR.format(**{**FIT, "log_s": "covariance.diagonal().log() / 2"}),
        ),
        Wrong(
            "the Cholesky factor for B",
            PRIOR.format(**{**FIT, "B": "R.tril(-1)"}),
        ),
    ],
)


def codes(n, seed, each):
    """The notebook's codes, with seeds that are not the notebook's."""
    torch.manual_seed(seed)
    mu = eight_gaussians(radius=1.6, sigma=0.3).sample(n)
    return mu.repeat(each, 1) + 0.1 * torch.randn(each * n, 2)


with torch.random.fork_rng(devices=[]):
    # so large that nobody finds them by trying
    Z_TRAIN = codes(400, 0x378FDC8FEE54B1DA, 5)
    Z_TEST = codes(10_000, 0x32412241264DC632, 1)
NORMAL = torch.distributions.Normal(0.0, 1.0).log_prob(Z_TEST).sum(1).mean()
# the codes of infinitely many digits: both spreads together
LIMIT = eight_gaussians(1.6, math.hypot(0.3, 0.1)).log_prob(Z_TEST).mean()
# fractions of the marginal KL of N(0, I) that a prior wins back
LEVELS = levels(NORMAL.item(), LIMIT.item(), (0.5, 0.75, 0.85))

FIXED = """
class Fixed(nn.Module):
    def __init__(self, mu, sigma):
        super().__init__()
        self.mu, self.sigma = mu, sigma

    def log_prob(self, z):
        each = torch.distributions.Normal(self.mu, self.sigma)
        log_p = each.log_prob(z[:, None]).sum(2)
        return log_p.logsumexp(1) - math.log(len(self.mu))

    def sample(self, n):
        k = torch.randint(len(self.mu), (n,))
        return self.mu[k] + self.sigma * torch.randn(n, 2)

def train(z, seed):
    return Fixed({mu}, {sigma})
"""

Q6 = Trained(
    "a5.q6",
    "A prior for codes",
    Z_TRAIN.numpy(),
    Z_TEST.numpy(),
    box=5.0,
    thresholds=LEVELS,
    wrong=[
        Wrong(
            "the exact prior of the training digits",
            FIXED.format(mu="z.view(5, -1, 2).mean(0)", sigma=0.1),
        ),
        Wrong(
            "the standard normal",
            FIXED.format(mu="torch.zeros(1, 2)", sigma=1.0),
        ),
        Wrong(
            "one Gaussian",
            FIXED.format(mu="z.mean(0, keepdim=True)", sigma="z.std(0)"),
        ),
        Wrong(
            "logsumexp without - log K",
            """
def log_prob(model, z):
    with torch.no_grad():
        each = torch.distributions.Normal(model.mu, model.log_sigma.exp())
        return each.log_prob(z[:, None]).sum(2).logsumexp(1)
""",
        ),
        Wrong(
            "samples training codes",
            """
def sample(model, n):
    return z_train[torch.randint(len(z_train), (n,))]
""",
        ),
        Wrong(
            "samples one component only",
            """
def sample(model, n):
    with torch.no_grad():
        return model.mu[0] + model.log_sigma[0].exp() * torch.randn(n, 2)
""",
        ),
    ],
)

QUESTIONS = [
    Q1,
    Q2,
    Q3,
    Written("a5.w1", "Every digit twice", 2),
    Q4,
    Q5,
    Written("a5.w2", "Half a memory", 2),
    Q6,
]
