"""Hidden tests of assignment 1; see ``dgm_course.grading.questions``."""

import math

import numpy as np
import torch
from torch.distributions import MultivariateNormal as Gaussian

from dgm_course.data import two_moons
from dgm_course.grading.levels import levels
from dgm_course.grading.questions import (
    Question,
    Test,
    Trained,
    Written,
    Wrong,
)

RNG = np.random.default_rng(713_001)


def bits(log_density, dim, levels):
    """-log2 P(x) / D with P(x) = p'(y') / L^D."""
    return -(log_density / math.log(2) - dim * math.log2(levels)) / dim


def bits_test(name, shape, dim, levels, points):
    log_density = dim * RNG.normal(0.5, 1.0, shape)
    return Test(
        name,
        (log_density, dim, levels),
        points,
        "The density of y' = (x + u) / L is L^D times the probability of the "
        "cube; a change of units may not change the bits.",
        expected=bits(log_density, dim, levels),
    )


Q1 = Question(
    "a1.q1",
    "Bits per dimension",
    "bits_per_dim",
    tests=[
        bits_test("grey pictures", (5,), 784, 256, 0.5),
        bits_test("few levels", (3,), 12, 8, 0.25),
        bits_test("one dimension, one picture", (1,), 1, 5, 0.25),
    ],
    wrong=[
        Wrong(
            "forgets D log L",
            "def bits_per_dim(log_density, dim, levels):\n"
            "    return -log_density / (dim * math.log(2))\n",
        ),
        Wrong(
            "adds D log L to the log-density",
            "def bits_per_dim(log_density, dim, levels):\n"
            "    total = log_density + dim * math.log(levels)\n"
            "    return -total / (dim * math.log(2))\n",
        ),
        Wrong(
            "stays in nats",
            "def bits_per_dim(log_density, dim, levels):\n"
            "    return math.log(levels) - log_density / dim\n",
        ),
        Wrong(
            "256 levels, whatever was asked",
            "def bits_per_dim(log_density, dim, levels):\n"
            "    return 8 - log_density / (dim * math.log(2))\n",
        ),
        Wrong(
            "averages over the batch",
            "def bits_per_dim(log_density, dim, levels):\n"
            "    nats = dim * math.log(levels) - log_density.mean()\n"
            "    return nats / (dim * math.log(2))\n",
        ),
    ],
)


def bound(log_p, log_q):
    """The largest ratio is taken out of the mean."""
    ratio = log_p - log_q
    top = ratio.max(0)
    return top + np.log(np.exp(ratio - top).mean(0))


def bound_test(name, k, batch, level, points):
    log_p = level + 2 * RNG.normal(size=(k, batch))
    log_q = RNG.normal(size=(k, batch))
    return Test(
        name,
        (log_p, log_q),
        points,
        "Average the k ratios p / q, not their logarithms, without leaving "
        "the logarithms: no density may be computed on its own.",
        expected=bound(log_p, log_q),
        rtol=1e-9,
    )


Q2 = Question(
    "a1.q2",
    "The importance-weighted bound",
    "iw_bound",
    tests=[
        bound_test("moderate densities", 7, 4, 0.0, 0.5),
        bound_test("one sample", 1, 6, -3.0, 0.125),
        bound_test("as many samples as observations", 5, 5, 1.0, 0.125),
        bound_test("tiny densities", 6, 3, -4321.0, 0.125),
        bound_test("huge densities", 9, 2, 6789.0, 0.125),
    ],
    wrong=[
        Wrong(
            "the mean of the logarithms",
            "def iw_bound(log_p, log_q):\n    return (log_p - log_q).mean(0)\n",
        ),
        Wrong(
            "no - log k",
            "def iw_bound(log_p, log_q):\n"
            "    return (log_p - log_q).logsumexp(0)\n",
        ),
        Wrong(
            "leaves the logarithms",
            "def iw_bound(log_p, log_q):\n"
            "    return (log_p - log_q).exp().mean(0).log()\n",
        ),
        Wrong(
            "forgets q",
            "def iw_bound(log_p, log_q):\n"
            "    return log_p.logsumexp(0) - math.log(len(log_p))\n",
        ),
        Wrong(
            "the wrong sign of log q",
            "def iw_bound(log_p, log_q):\n"
            "    return (log_p + log_q).logsumexp(0) - math.log(len(log_p))\n",
        ),
        Wrong(
            "averages over the observations",
            "def iw_bound(log_p, log_q):\n"
            "    ratio = log_p - log_q\n"
            "    return ratio.logsumexp(1) - math.log(ratio.shape[1])\n",
        ),
    ],
)


def mixture(shape, spread=2.0):
    """Log-weights, means and log-scales, one mixture per entry."""
    raw = RNG.normal(size=shape)
    log_w = raw - np.log(np.exp(raw).sum(-1, keepdims=True))
    return log_w, spread * RNG.normal(size=shape), 0.4 * RNG.normal(size=shape)


def coupling(x, log_w, m, log_s, a, b):
    """The map and its ladj, by the formulas with logaddexp."""
    t = (x[..., None] - m) / np.exp(log_s)
    log_cdf = np.logaddexp.reduce(log_w - np.logaddexp(0, -t), -1)
    log_sf = np.logaddexp.reduce(log_w - np.logaddexp(0, t), -1)
    logistic = -np.logaddexp(0, -t) - np.logaddexp(0, t) - log_s
    log_pdf = np.logaddexp.reduce(log_w + logistic, -1)
    z = (log_cdf - log_sf) * np.exp(a) + b
    return z, (log_pdf - log_cdf - log_sf + a).sum(1)


def numbers(shape, components):
    """Arguments of the coupling."""
    x, a, b = (RNG.normal(size=shape) for _ in range(3))
    return 2 * x, *mixture((*shape, components)), 0.5 * a, b


def only(part, expected, name):
    """Look at one of the two values that come back."""

    def check(answer):
        two = isinstance(answer, tuple | list) and len(answer) == 2
        if not two:
            return "a pair of tensors is expected, z and ladj"
        value = np.asarray(answer[part])
        right = expected[part]
        if value.shape != right.shape:
            return f"{name} has another shape than {right.shape}"
        if value.dtype != right.dtype:
            return f"{name} is not float64"
        if not np.allclose(value, right, rtol=1e-7, atol=1e-7):
            return f"{name} has wrong values"
        return None

    return check


THERE = numbers((6, 3), 4)
WIDE = numbers((3, 5), 7)
ALONE = numbers((8, 1), 1)
FAR = numbers((4, 2), 3)
FAR = (np.where(FAR[0] > 0, 1.0, -1.0) * 90 + FAR[0], *FAR[1:])
FAR_ANSWER = coupling(*FAR)
THERE_ANSWER = coupling(*THERE)

Q3 = Question(
    "a1.q3",
    "A coupling of logistic mixtures",
    "mixlog_forward",
    tests=[
        Test(
            "z",
            THERE,
            0.5,
            "z is the logit of the mixture's distribution function, times "
            "exp(a), plus b.",
            check=only(0, THERE_ANSWER, "z"),
        ),
        Test(
            "ladj",
            THERE,
            0.5,
            "The slope of logit(F) is F' / (F (1 - F)); a adds to its "
            "logarithm, b does not; sum over the columns.",
            check=only(1, THERE_ANSWER, "ladj"),
        ),
        Test(
            "many components",
            WIDE,
            0.25,
            "Each entry of x has a mixture of its own, with weights, means "
            "and scales along the last axis.",
            expected=coupling(*WIDE),
        ),
        Test(
            "one component",
            ALONE,
            0.25,
            "With one component the map is affine in x.",
            expected=coupling(*ALONE),
        ),
        Test(
            "far from all means",
            FAR,
            0.5,
            "Where F rounds to 0 or 1 its logit must still be right: compute "
            "log F and log(1 - F), each by itself.",
            expected=FAR_ANSWER,
        ),
    ],
    wrong=[
        Wrong(
            "F rounds to one",
            """
def mixlog_forward(x, log_w, m, log_s, a, b):
    F = (log_w.exp() * torch.sigmoid((x[..., None] - m) / log_s.exp())).sum(-1)
    z = torch.logit(F) * a.exp() + b
    slope = logit_mixture(x, log_w, m, log_s)[1] + a
    return z, slope.sum(1)
""",
        ),
        Wrong(
            "ladj of the inverse",
            """
def mixlog_forward(x, log_w, m, log_s, a, b):
    logit, slope = logit_mixture(x, log_w, m, log_s)
    return logit * a.exp() + b, -(slope + a).sum(1)
""",
        ),
        Wrong(
            "ladj without a",
            """
def mixlog_forward(x, log_w, m, log_s, a, b):
    logit, slope = logit_mixture(x, log_w, m, log_s)
    return logit * a.exp() + b, slope.sum(1)
""",
        ),
        Wrong(
            "multiplies by a instead of exp(a)",
            """
def mixlog_forward(x, log_w, m, log_s, a, b):
    logit, slope = logit_mixture(x, log_w, m, log_s)
    return logit * a + b, (slope + a).sum(1)
""",
        ),
        Wrong(
            "divides by the log-scale's opposite",
            """
def mixlog_forward(x, log_w, m, log_s, a, b):
    logit, slope = logit_mixture(x, log_w, m, -log_s)
    return logit * a.exp() + b, (slope + a).sum(1)
""",
        ),
        Wrong(
            "equal weights",
            """
def mixlog_forward(x, log_w, m, log_s, a, b):
    equal = torch.zeros_like(log_w) - math.log(log_w.shape[-1])
    logit, slope = logit_mixture(x, equal, m, log_s)
    return logit * a.exp() + b, (slope + a).sum(1)
""",
        ),
    ],
)


def inverse_test(name, shape, components, points, center=0.0):
    x = center + 2 * RNG.normal(size=shape)
    log_w, m, log_s = mixture((*shape, components))
    m = m + center
    a, b = 0.5 * RNG.normal(size=shape), RNG.normal(size=shape)
    z, ladj = coupling(x, log_w, m, log_s, a, b)
    return Test(
        name,
        (z, log_w, m, log_s, a, b),
        points,
        "Undo b and a first; bracket the solution by those of the single "
        "components; halve until the ends agree; the ladj of an inverse is "
        "the opposite of the map's.",
        expected=(x, -ladj),
        rtol=1e-6,
    )


Q4 = Question(
    "a1.q4",
    "Its inverse",
    "mixlog_inverse",
    tests=[
        inverse_test("moderate", (6, 2), 3, 0.5),
        inverse_test("one column, many components", (9, 1), 8, 0.25),
        inverse_test("far from zero", (4, 3), 5, 0.25, center=-700.0),
    ],
    wrong=[
        Wrong(
            "ladj of the map",
            """
def mixlog_inverse(z, log_w, m, log_s, a, b):
    x = solve_mixture((z - b) * (-a).exp(), log_w, m, log_s)
    return x, (logit_mixture(x, log_w, m, log_s)[1] + a).sum(1)
""",
        ),
        Wrong(
            "searches in [-10, 10] only",
            """
def mixlog_inverse(z, log_w, m, log_s, a, b):
    target = (z - b) * (-a).exp()
    low, high = torch.full_like(z, -10.0), torch.full_like(z, 10.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = logit_mixture(middle, log_w, m, log_s)[0] < target
        low, high = (torch.where(below, middle, low),
                     torch.where(below, high, middle))
    return low, -(logit_mixture(low, log_w, m, log_s)[1] + a).sum(1)
""",
        ),
        Wrong(
            "scales before it shifts",
            """
def mixlog_inverse(z, log_w, m, log_s, a, b):
    x = solve_mixture(z * (-a).exp() - b, log_w, m, log_s)
    return x, -(logit_mixture(x, log_w, m, log_s)[1] + a).sum(1)
""",
        ),
        Wrong(
            "ten halvings",
            """
def mixlog_inverse(z, log_w, m, log_s, a, b):
    x = solve_mixture((z - b) * (-a).exp(), log_w, m, log_s)
    x = (x * 1000).round() / 1000
    return x, -(logit_mixture(x, log_w, m, log_s)[1] + a).sum(1)
""",
        ),
        Wrong(
            "the mean of the components' inverses",
            """
def mixlog_inverse(z, log_w, m, log_s, a, b):
    alone = m + log_s.exp() * ((z - b) * (-a).exp())[..., None]
    x = (log_w.exp() * alone).sum(-1)
    return x, -(logit_mixture(x, log_w, m, log_s)[1] + a).sum(1)
""",
        ),
    ],
)


def noise_test(name, x, components, points, scale=0.0):
    x = np.asarray(x, dtype=float)
    log_w, m, log_s = mixture((components,), 3.0)
    log_s = log_s + scale
    u = RNG.uniform(0.02, 0.98, x.shape)

    def cdf(y):
        t = (y[:, None] - m) / np.exp(log_s)
        return (np.exp(log_w) / (1 + np.exp(-t))).sum(1)

    mass = cdf(x + 1) - cdf(x)
    v = (cdf(x + u) - cdf(x)) / mass
    t = (x + u)[:, None] - m
    t = t / np.exp(log_s)
    logistic = -np.logaddexp(0, -t) - np.logaddexp(0, t) - log_s
    log_p = np.logaddexp.reduce(log_w + logistic, -1)
    return Test(
        name,
        (x, v, log_w, m, log_s),
        points,
        "The noise that makes the bound tight is p(u | x): the density on "
        "the cube, normalized. Its distribution function is "
        "(F(x + u) - F(x)) / (F(x + 1) - F(x)).",
        expected=(u, log_p - np.log(mass)),
        rtol=1e-6,
    )


Q5 = Question(
    "a1.q5",
    "Noise that loses nothing",
    "tight_noise",
    tests=[
        noise_test("several integers", [-2, -1, 0, 1, 3], 4, 0.5),
        noise_test("one logistic", [0, 1, 1, 2], 1, 0.25, scale=0.3),
        noise_test("narrow components", [-1, 0, 2], 6, 0.25, scale=-0.5),
    ],
    wrong=[
        Wrong(
            "uniform noise",
            """
def tight_noise(x, v, log_w, m, log_s):
    return v, torch.zeros_like(v)
""",
        ),
        Wrong(
            "log p(x + u) for log q",
            """
_right = tight_noise
def tight_noise(x, v, log_w, m, log_s):
    u, log_q = _right(x, v, log_w, m, log_s)
    t = ((x + u)[:, None] - m) / log_s.exp()
    logistic = nn.functional.logsigmoid(t) + nn.functional.logsigmoid(-t)
    return u, (log_w + logistic - log_s).logsumexp(1)
""",
        ),
        Wrong(
            "falls in v",
            """
_right = tight_noise
def tight_noise(x, v, log_w, m, log_s):
    return _right(x, 1 - v, log_w, m, log_s)
""",
        ),
        Wrong(
            "the noise of the cube at 0",
            """
_right = tight_noise
def tight_noise(x, v, log_w, m, log_s):
    return _right(torch.zeros_like(x), v, log_w, m, log_s)
""",
        ),
        Wrong(
            "a straight line through the cube",
            """
_right = tight_noise
def tight_noise(x, v, log_w, m, log_s):
    return v, _right(x, v, log_w, m, log_s)[1]
""",
        ),
    ],
)


def integers(n, seed):
    """The notebook's instrument, with seeds that are not the notebook's."""
    torch.manual_seed(seed)
    points = two_moons().sample(n).float()
    return (3 * points).floor().clamp(-12, 11)


def thresholds(x, y):
    """Fractions of the way from a Gaussian to the limit -H(pi)."""
    gaussian = Gaussian(x.add(0.5).mean(0), torch.cov(x.T) + torch.eye(2) / 12)
    many = integers(400_000, 713_004).long() + 12
    counts = torch.bincount(24 * many[:, 0] + many[:, 1]).double()
    pi = counts[counts > 0] / len(many)
    limit = (pi * pi.log()).sum().item()
    start = gaussian.log_prob(y).mean().item()
    return levels(start, limit, (0.25, 0.5, 0.7))


with torch.random.fork_rng(devices=[]):
    # so large that nobody finds them by trying
    X_TRAIN = integers(5000, 0x70F6A55D857E7F3)
    x_test = integers(10_000, 0x3FBF468BAE4E4D8)
    X_TEST = x_test + torch.rand_like(x_test)
    LEVELS = thresholds(X_TRAIN, X_TEST)

Q6 = Trained(
    "a1.q6",
    "A flow on integers",
    X_TRAIN.numpy(),
    X_TEST.numpy(),
    box=14.0,
    thresholds=LEVELS,
    wrong=[
        Wrong(
            "no noise in training",
            """
def train(x, seed):
    torch.manual_seed(seed)
    model = Moons()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(400):
        loss = -model.log_prob(x[torch.randint(len(x), (512,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
""",
        ),
        Wrong(
            "a Gaussian",
            """
def train(x, seed):
    y = x + torch.rand_like(x)
    return torch.distributions.MultivariateNormal(y.mean(0), torch.cov(y.T))

def log_prob(model, y):
    return model.log_prob(y)

def sample(model, n):
    return model.sample((n,))
""",
        ),
        Wrong(
            "forgets the units in the density",
            """
def log_prob(model, y):
    with torch.no_grad():
        return model.log_prob(y) + 2 * math.log(model.unit)
""",
        ),
        Wrong(
            "samples integers of the training set",
            """
def sample(model, n):
    return x_train[torch.randint(len(x_train), (n,))]
""",
        ),
        Wrong(
            "independent columns",
            """
def log_prob(model, y):
    with torch.no_grad():
        y = y / model.unit
        alone = model.mixture(model.first.expand(len(y), -1))
        other = model.mixture(model.second(torch.zeros(len(y), 1)))
        z1, ladj1 = logit_mixture(y[:, :1], *alone)
        z2, ladj2 = logit_mixture(y[:, 1:], *other)
        z, ladj = torch.cat([z1, z2], 1), ladj1 + ladj2
        noise = nn.functional.logsigmoid(z) + nn.functional.logsigmoid(-z)
        return noise.sum(1) + ladj[:, 0] - 2 * math.log(model.unit)
""",
        ),
        Wrong(
            "hardly trained",
            """
def train(x, seed):
    torch.manual_seed(seed)
    model = Moons()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(25):
        batch = x[torch.randint(len(x), (512,))]
        loss = -model.log_prob(batch + torch.rand_like(batch)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
""",
        ),
    ],
)

QUESTIONS = [
    Written("a1.w1", "Any noise", 2),
    Q1,
    Q2,
    Q3,
    Q4,
    Q5,
    Written("a1.w2", "Four bits in eight", 2),
    Q6,
]
