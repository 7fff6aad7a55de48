"""Hidden tests of assignment 6; see ``dgm_course.grading.questions``."""

import math

import numpy as np
import torch

from dgm_course.disentanglement.information import mig_gaps
from dgm_course.grading.levels import levels, of_a_gaussian, weak
from dgm_course.grading.questions import (
    Question,
    Test,
    Trained,
    Written,
    Wrong,
)

RNG = np.random.default_rng(763_001)


def elbo_test(name, maps, n, points):
    log_likelihood, log_prior, log_q0 = -5 + 2 * RNG.normal(size=(3, n))
    ladjs = RNG.normal(size=(maps, n))
    return Test(
        name,
        (log_likelihood, log_prior, log_q0, ladjs),
        points,
        "A map that spreads volume lowers the density: the log-determinants "
        "are subtracted from log q_0, so they are added to the ELBO, all of "
        "them.",
        expected=log_likelihood + log_prior - log_q0 + ladjs.sum(0),
    )


def elbo(value):
    """A one-line ELBO."""
    return (
        "def flow_elbo(log_likelihood, log_prior, log_q0, ladjs):\n"
        f"    return log_likelihood + {value}\n"
    )


Q1 = Question(
    "a6.q1",
    "The ELBO of a flow posterior",
    "flow_elbo",
    tests=[
        elbo_test("three maps", 3, 5, 0.5),
        elbo_test("one map", 1, 4, 0.25),
        elbo_test("one data point", 6, 1, 0.25),
    ],
    wrong=[
        Wrong("the slide's sign", elbo("log_prior - log_q0 - ladjs.sum(0)")),
        Wrong("no log-determinant", elbo("log_prior - log_q0 + 0 * ladjs[0]")),
        Wrong(
            "a mean over the maps", elbo("log_prior - log_q0 + ladjs.mean(0)")
        ),
        Wrong("log q added", elbo("log_prior + log_q0 - ladjs.sum(0)")),
        Wrong("no prior", elbo("ladjs.sum(0) - log_q0")),
        Wrong(
            "one number for the batch",
            elbo("(log_prior - log_q0 + ladjs.sum(0)).mean()"),
        ),
    ],
)


def sylvester(z, V, R, S, b):
    """With the reflections and the Jacobian as matrices."""
    d, m = z.shape[1], len(b)
    Q = np.eye(d)
    for v in V:
        Q = Q @ (np.eye(d) - 2 * np.outer(v, v) / (v @ v))
    Q = Q[:, :m]
    t = np.tanh(z @ Q @ S.T + b)
    ladj = [
        np.linalg.slogdet(np.eye(d) + Q @ R @ np.diag(1 - row**2) @ S @ Q.T)[1]
        for row in t
    ]
    return z + t @ R.T @ Q.T, np.array(ladj)


def sylvester_test(name, batch, d, m, reflections, points):
    z, V = RNG.normal(size=(batch, d)), 2 * RNG.normal(size=(reflections, d))
    R, S = (np.triu(RNG.normal(size=(m, m)), 1) for _ in range(2))
    R, S = (part + np.diag(RNG.uniform(-0.9, 0.9, size=m)) for part in (R, S))
    arguments = z, V, R, S, RNG.normal(size=m)
    return Test(
        name,
        arguments,
        points,
        "Multiply the reflections in the order of the text, keep the first M "
        "columns, and use both triangular matrices whole for x; only their "
        "diagonals and the slopes of tanh enter the determinant.",
        expected=sylvester(*arguments),
        rtol=1e-7,
    )


SYLVESTER = """
def sylvester(z, V, R, S, b):
    product = torch.eye(z.shape[1], dtype=z.dtype)
    for v in {order}:
        mirror = product @ v
        product = product - {twice} * torch.outer(mirror, v) / {length}
    Q = product{columns}
    t = torch.tanh({inner} + b)
    factors = 1 + {slope} * R.diagonal() * {s}
    return z + {push} @ Q.T, {ladj}
"""
PARTS = {
    "order": "V",
    "twice": "2",
    "length": "v.square().sum()",
    "columns": "[:, : len(b)]",
    "inner": "z @ Q @ S.T",
    "slope": "(1 - t.square())",
    "s": "S.diagonal()",
    "push": "t @ R.T",
    "ladj": "factors.log().sum(1)",
}


def wrong_sylvester(**changes):
    """A Sylvester flow with something changed."""
    return SYLVESTER.format(**(PARTS | changes))


Q2 = Question(
    "a6.q2",
    "A Sylvester flow",
    "sylvester",
    tests=[
        sylvester_test("three of five directions", 6, 5, 3, 4, 1.0),
        sylvester_test("one direction", 4, 3, 1, 2, 0.5),
        sylvester_test("as many as dimensions, one row", 1, 4, 4, 3, 0.5),
    ],
    wrong=[
        Wrong(
            "reflections in the other order", wrong_sylvester(order="V.flip(0)")
        ),
        Wrong("normals taken for unit vectors", wrong_sylvester(length="1.0")),
        Wrong("projections for reflections", wrong_sylvester(twice="1")),
        Wrong(
            "the last columns of Q", wrong_sylvester(columns="[:, -len(b):]")
        ),
        Wrong("R alone in the determinant", wrong_sylvester(s="1")),
        Wrong("no slope of tanh", wrong_sylvester(slope="(0 * t + 1)")),
        Wrong(
            "the diagonals alone move z",
            wrong_sylvester(
                push="(t * R.diagonal())", inner="(z @ Q * S.diagonal())"
            ),
        ),
        Wrong(
            "matrices transposed",
            wrong_sylvester(push="t @ R", inner="z @ Q @ S"),
        ),
        Wrong(
            "the sign of the logarithm",
            wrong_sylvester(ladj="-factors.log().sum(1)"),
        ),
        Wrong("a sum of factors", wrong_sylvester(ladj="(factors - 1).sum(1)")),
    ],
)


def iaf(z, h, steps):
    """Dimension by dimension, and the Jacobian as a product of diagonals."""
    total = np.zeros(len(z))
    for i, (W, U, W_g, U_g) in enumerate(steps):
        z = z[:, ::-1].copy() if i else z.copy()
        new = z.copy()
        for j in range(z.shape[1]):
            m = z[:, :j] @ W[j, :j] + h @ U[j]
            g = 1 / (1 + np.exp(-(z[:, :j] @ W_g[j, :j] + h @ U_g[j])))
            new[:, j] = g * z[:, j] + (1 - g) * m
            total += np.log(g)
        z = new
    return z, total


def iaf_test(name, batch, d, context, count, points):
    z, h = RNG.normal(size=(batch, d)), RNG.normal(size=(batch, context))
    shapes = [(d, d), (d, context)] * 2
    steps = [
        tuple(RNG.normal(size=shape) for shape in shapes) for _ in range(count)
    ]
    return Test(
        name,
        (z, h, steps),
        points,
        "Dimension j is moved by what those before it and the context say; "
        "the gates alone make the determinant; between two steps, and only "
        "there, the order is reversed.",
        expected=iaf(z, h, steps),
    )


IAF = """
def iaf(z, h, steps):
    total = torch.zeros_like(z[:, 0])
    for i, (W, U, W_g, U_g) in enumerate(steps):
        if {turn}:
            z = z.flip(1)
        m = z @ W.tril({mask}).T + {context} @ U.T
        raw = z @ W_g.tril({mask}).T + {context} @ U_g.T
        g = torch.sigmoid(raw)
        z = g * z + {move} * m
        total = total + {ladj}
    return {end}, total
"""
STEP = {
    "turn": "i > 0",
    "mask": "-1",
    "context": "h",
    "move": "(1 - g)",
    "ladj": "nn.functional.logsigmoid(raw).sum(1)",
    "end": "z",
}


def wrong_iaf(**changes):
    """A chain with something changed."""
    return IAF.format(**(STEP | changes))


Q3 = Question(
    "a6.q3",
    "Inverse autoregressive steps",
    "iaf",
    tests=[
        iaf_test("two steps", 5, 4, 3, 2, 0.5),
        iaf_test("one step", 3, 6, 1, 1, 0.25),
        iaf_test("three steps, one row", 1, 3, 2, 3, 0.25),
    ],
    wrong=[
        Wrong("a dimension sees itself", wrong_iaf(mask="0")),
        Wrong("the context is ignored", wrong_iaf(context="(0 * h)")),
        Wrong("the order is never changed", wrong_iaf(turn="False")),
        Wrong("reversed before the first step as well", wrong_iaf(turn="True")),
        Wrong("reversed at the end as well", wrong_iaf(end="z.flip(1)")),
        Wrong("the mean is not gated", wrong_iaf(move="1")),
        Wrong("the determinant of the raw gates", wrong_iaf(ladj="raw.sum(1)")),
        Wrong(
            "minus the log-determinant",
            wrong_iaf(ladj="nn.functional.softplus(-raw).sum(1)"),
        ),
        Wrong(
            "the last step's determinant",
            wrong_iaf(ladj="nn.functional.logsigmoid(raw).sum(1) - total"),
        ),
    ],
)


def log_normal(z, mu, log_sigma):
    """Each dimension by itself."""
    t = (z - mu) / np.exp(log_sigma)
    return -0.5 * t**2 - log_sigma - 0.5 * math.log(2 * math.pi)


def parts_test(name, n, d, spread, points):
    mu, log_sigma = (
        spread * RNG.normal(size=(n, d)),
        RNG.normal(size=(n, d)) - 1,
    )
    z = mu + np.exp(log_sigma) * RNG.normal(size=(n, d))
    each = log_normal(z[:, None], mu, log_sigma)
    own = log_normal(z, mu, log_sigma).sum(1)
    joint = np.logaddexp.reduce(each.sum(2), axis=1) - math.log(n)
    single = np.logaddexp.reduce(each, axis=1) - math.log(n)
    parts = (
        own - joint,
        joint - single.sum(1),
        (single - log_normal(z, 0.0, np.zeros(d))).sum(1),
    )
    return Test(
        name,
        (z, mu, log_sigma),
        points,
        "log q(z) is a logsumexp over posteriors of sums over dimensions, "
        "log q(z_j) one for each dimension by itself, both minus log n; the "
        "three parts are means of their differences and add up to the KL.",
        expected=tuple(np.array(part.mean()) for part in parts),
    )


KL = """
def three_parts(z, mu, log_sigma):
    n = len(z)
    posteriors = torch.distributions.Normal(mu, log_sigma.exp())
    each = posteriors.log_prob(z[:, None])
    own = each.diagonal(dim1=0, dim2=1).sum(0)
    joint = {joint}
    single = {single}
    prior = -0.5 * z.square() - 0.5 * math.log(2 * math.pi)
    return ({information}, {correlation}, {dimensions})
"""
SPLIT = {
    "joint": "each.sum(2).logsumexp(1) - math.log(n)",
    "single": "each.logsumexp(1) - math.log(n)",
    "information": "(own - joint).mean()",
    "correlation": "(joint - single.sum(1)).mean()",
    "dimensions": "(single - prior).sum(1).mean()",
}


def wrong_split(**changes):
    """Three parts with something changed."""
    return KL.format(**(SPLIT | changes))


Q4 = Question(
    "a6.q4",
    "Three parts of the KL",
    "three_parts",
    tests=[
        parts_test("several codes", 9, 3, 1.0, 0.5),
        parts_test("two data points", 2, 4, 1.0, 0.25),
        parts_test("one dimension, far apart", 6, 1, 40.0, 0.25),
    ],
    wrong=[
        Wrong(
            "no log n",
            wrong_split(
                joint="each.sum(2).logsumexp(1)", single="each.logsumexp(1)"
            ),
        ),
        Wrong(
            "the mean of the logarithms",
            wrong_split(joint="each.sum(2).mean(1)"),
        ),
        Wrong(
            "without the code's own posterior",
            wrong_split(
                joint="(each.sum(2) - 1e9 * torch.eye(n).double()).logsumexp(1)"
                " - math.log(n - 1)"
            ),
        ),
        Wrong(
            "log n once for all dimensions",
            wrong_split(single="each.logsumexp(1) - math.log(n) / z.shape[1]"),
        ),
        Wrong(
            "the sign of the total correlation",
            wrong_split(correlation="(single.sum(1) - joint).mean()"),
        ),
        Wrong(
            "the marginal KL for the third",
            wrong_split(dimensions="(joint - prior.sum(1)).mean()"),
        ),
        Wrong(
            "sums over the data", wrong_split(information="(own - joint).sum()")
        ),
        Wrong(
            "leaves the logarithms",
            wrong_split(joint="each.sum(2).exp().mean(1).log()"),
        ),
    ],
)


def gap_test(name, n, levels_of, units, bins, points, dead=False):
    """Codes that follow one or two factors, with noise; one may be dead."""
    factors = np.stack(
        [RNG.integers(0, count, n) for count in levels_of], 1
    ).astype(np.int64)
    for k, count in enumerate(levels_of):
        factors[:count, k] = np.arange(count)  # each level comes up
    scaled = factors / np.array(levels_of) * 3
    codes = scaled @ RNG.normal(size=(len(levels_of), units))
    codes += 0.3 * RNG.normal(size=codes.shape)
    for j in range(min(units, len(levels_of))):
        codes[:, j] = scaled[:, j] + 0.2 * RNG.normal(size=n)
    if dead:
        codes[:, -1] = 1e-2 * scaled[:, 0]
    gaps = mig_gaps(torch.from_numpy(codes), torch.from_numpy(factors), bins)
    return Test(
        name,
        (codes, factors, bins),
        points,
        "For each factor: the entropies of tables of counts, with bins of "
        "equal width, the two largest informations over the units that are "
        "not dead, and the entropy of the factor below the line.",
        expected=gaps.numpy(),
    )


GAPS = """
def information_gaps(codes, factors, bins):
    def entropy(index):
        p = torch.bincount(index).double() / len(index)
        return torch.special.entr(p).sum()

    low = codes.min(0).values
    width = codes.max(0).values - low
    place = ({place}).long()
    place[place >= bins] = bins - 1
    place[:, {dead}] = 0
    gaps = []
    for v in factors.unbind(1):
        told = torch.stack([
            entropy(v) + entropy(j) - entropy(j * (int(v.max()) + 1) + v)
            for j in place.unbind(1)])
        best = told.topk(2).values
        gaps.append({gap})
    return {value}
"""
GAP = {
    "place": "(codes - low) * bins / (width + 1e-300)",
    "dead": "codes.var(0, correction=0) <= 0.05",
    "gap": "(best[0] - best[1]) / entropy(v)",
    "value": "torch.stack(gaps)",
}


def wrong_gaps(**changes):
    """Gaps with something changed."""
    return GAPS.format(**(GAP | changes))


Q5 = Question(
    "a6.q5",
    "The mutual information gap",
    "information_gaps",
    tests=[
        gap_test("three factors, four units", 300, (3, 4, 5), 4, 10, 0.4),
        gap_test("a dead unit", 250, (4, 6), 3, 20, 0.3, dead=True),
        gap_test("one factor, two units", 120, (7,), 2, 5, 0.3),
    ],
    wrong=[
        Wrong("dead units count", wrong_gaps(dead="codes.var(0) < 0")),
        Wrong("nats", wrong_gaps(gap="best[0] - best[1]")),
        Wrong(
            "divided by the logarithm of the number of bins",
            wrong_gaps(gap="(best[0] - best[1]) / math.log(bins)"),
        ),
        Wrong("the best alone", wrong_gaps(gap="best[0] / entropy(v)")),
        Wrong(
            "the gap to the worst unit",
            wrong_gaps(gap="(best[0] - told.min()) / entropy(v)"),
        ),
        Wrong(
            "relative to the best",
            wrong_gaps(gap="(best[0] - best[1]) / best[0]"),
        ),
        Wrong(
            "bins of equal counts",
            wrong_gaps(place="codes.argsort(0).argsort(0) / len(codes) * bins"),
        ),
        Wrong(
            "bins between -3 and 3",
            wrong_gaps(place="((codes + 3) / 6 * bins).clamp(min=0)"),
        ),
        Wrong(
            "one number",
            wrong_gaps(value="torch.stack(gaps).mean()"),
        ),
    ],
)


def posterior(n):
    """The notebook's samples, from the current random state."""
    z = torch.randn(40 * n, 2)
    misfit = (1.0 - z.prod(1)) / 0.3
    return z[torch.rand(len(z)) < torch.exp(-misfit.square() / 2)][:n]


def log_joint(z):
    """Log p(x = 1, z), up to the constant of the likelihood."""
    misfit = (1.0 - z.prod(1)) / 0.3
    return -(z.square().sum(1) + misfit.square()) / 2 - math.log(2 * math.pi)


with torch.random.fork_rng(devices=[]):
    # so large that nobody finds it by trying
    torch.manual_seed(0x6A1F93D05C7E28B4)
    X_TRAIN, X_TEST = posterior(5000), posterior(10_000)
TICKS = torch.linspace(-7, 7, 1401, dtype=torch.float64)
EVIDENCE = log_joint(torch.cartesian_prod(TICKS, TICKS)).logsumexp(
    0
) + 2 * math.log(0.01)
START = of_a_gaussian(X_TRAIN, X_TEST)
LIMIT = (log_joint(X_TEST).mean() - EVIDENCE).item()
# from a Gaussian to the true density; over 16 seeds the solution gets 0.983 of
# the way, with a standard deviation of 0.002 (at least 0.980)
LEVELS = levels(START, LIMIT, (0.3, 0.6, 0.8))

Q6 = Trained(
    "a6.q6",
    "A posterior with two branches",
    X_TRAIN.numpy(),
    X_TEST.numpy(),
    box=6.0,
    thresholds=LEVELS,
    wrong=[
        Wrong("hardly trained", weak("Bent()", 10)),
        Wrong(
            "a Gaussian",
            """
class Plain:
    def __init__(self, x):
        self.q = torch.distributions.MultivariateNormal(
            x.mean(0), torch.cov(x.T))
        self.log_prob = self.q.log_prob

    def sample(self, n):
        return self.q.sample((n,))

def train(x, seed):
    return Plain(x)
""",
        ),
        Wrong(
            "one branch only",
            """
def sample(model, n):
    with torch.no_grad():
        z = model.sample(n)
        return z * torch.sign(z.sum(1, keepdim=True))
""",
        ),
        Wrong(
            "no log-determinant",
            """
def log_prob(model, x):
    with torch.no_grad():
        for part in model.flow:
            x, _ = part(x)
        each = [-(x - s * model.mean).square().sum(1) / 2 for s in (-1, 1)]
        return torch.logaddexp(*each) - math.log(4 * math.pi)
""",
        ),
        Wrong(
            "the wrong sign of the log-determinant",
            """
def log_prob(model, x):
    with torch.no_grad():
        total = torch.zeros(len(x))
        for part in model.flow:
            x, ladj = part(x)
            total = total - ladj
        each = [-(x - s * model.mean).square().sum(1) / 2 for s in (-1, 1)]
        return torch.logaddexp(*each) - math.log(4 * math.pi) + total
""",
        ),
        Wrong(
            "layers undone in their own order",
            """
def sample(model, n):
    with torch.no_grad():
        z = (torch.randint(2, (n, 1)) * 2 - 1) * model.mean
        z = z + torch.randn(n, 2)
        for part in model.flow:
            z = part.inverse(z)
        return z
""",
        ),
    ],
)

QUESTIONS = [
    Q1,
    Q2,
    Written("a6.w1", "Small determinants", 2),
    Q3,
    Q4,
    Q5,
    Written("a6.w2", "What beta buys", 2),
    Q6,
]
