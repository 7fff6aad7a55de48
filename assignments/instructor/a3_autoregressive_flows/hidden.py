"""Hidden tests of assignment 3; see ``dgm_course.grading.questions``."""

import math

import numpy as np
import torch

from dgm_course.data import two_moons
from dgm_course.grading.levels import levels, of_a_gaussian, weak
from dgm_course.grading.questions import (
    Question,
    Test,
    Trained,
    Written,
    Wrong,
)

RNG = np.random.default_rng(733_001)


def density_test(name, shape, points, spread=1.0):
    x, mu = RNG.normal(size=shape), RNG.normal(size=shape)
    log_sigma = spread * RNG.normal(size=shape)
    residual = (x - mu) / np.exp(log_sigma)
    nats = -0.5 * residual**2 - log_sigma - 0.5 * math.log(2 * math.pi)
    return Test(
        name,
        (x, mu, log_sigma),
        points,
        "Each conditional is a Gaussian with its own mean and scale; its "
        "log-density has three terms; sum over the variables.",
        expected=nats.sum(1),
    )


Q1 = Question(
    "a3.q1",
    "The density, given the parameters",
    "ar_log_prob",
    tests=[
        density_test("a batch", (7, 4), 0.5),
        density_test("one variable", (3, 1), 0.25),
        density_test("one observation, wide scales", (1, 9), 0.25, spread=2.0),
    ],
    wrong=[
        Wrong(
            "no log sigma",
            """
def ar_log_prob(x, mu, log_sigma):
    z = (x - mu) * torch.exp(-log_sigma)
    return (-0.5 * z**2 - 0.5 * math.log(2 * math.pi)).sum(1)
""",
        ),
        Wrong(
            "the wrong sign of log sigma",
            """
def ar_log_prob(x, mu, log_sigma):
    z = (x - mu) * torch.exp(-log_sigma)
    return (-0.5 * z**2 + log_sigma - 0.5 * math.log(2 * math.pi)).sum(1)
""",
        ),
        Wrong(
            "log sigma as sigma",
            """
def ar_log_prob(x, mu, log_sigma):
    sigma = log_sigma.abs()
    return torch.distributions.Normal(mu, sigma).log_prob(x).sum(1)
""",
        ),
        Wrong(
            "one log 2 pi for all variables",
            """
def ar_log_prob(x, mu, log_sigma):
    z = (x - mu) * torch.exp(-log_sigma)
    nats = (-0.5 * z**2 - log_sigma).sum(1)
    return nats - 0.5 * math.log(2 * math.pi)
""",
        ),
        Wrong(
            "the mean over the variables",
            """
def ar_log_prob(x, mu, log_sigma):
    normal = torch.distributions.Normal(mu, log_sigma.exp())
    return normal.log_prob(x).mean(1)
""",
        ),
    ],
)


def masks_test(name, dim, widths, points, order=None):
    inputs = np.arange(1, dim + 1) if order is None else np.array(order)
    hidden = [RNG.integers(1, dim, width) for width in widths]
    layers = [inputs, *hidden]
    masks = [
        np.array([[above >= below for below in lower] for above in upper])
        for lower, upper in zip(layers, layers[1:])
    ]
    masks.append(
        np.array([[out > below for below in layers[-1]] for out in inputs])
    )
    return Test(
        name,
        (inputs.astype(np.int64), [h.astype(np.int64) for h in hidden]),
        points,
        "A connection into a hidden unit stays if the degree below is at most "
        "its own; into an output, if it is smaller. Rows are the units above. "
        "Degrees are compared, not places.",
        expected=masks,
    )


Q2 = Question(
    "a3.q2",
    "The masks of MADE",
    "made_masks",
    tests=[
        masks_test("natural order", 5, (7, 6), 0.4),
        masks_test("another order", 6, (8,), 0.2, order=[3, 6, 1, 5, 2, 4]),
        masks_test("three hidden layers", 4, (5, 9, 5), 0.2),
        masks_test(
            "square layers, reversed", 7, (7, 7), 0.2, [7, 6, 5, 4, 3, 2, 1]
        ),
    ],
    wrong=[
        Wrong(
            "outputs see their own variable",
            """
def made_masks(inputs, hidden):
    layers = [inputs, *hidden, inputs]
    return [b[:, None] >= a for a, b in zip(layers, layers[1:])]
""",
        ),
        Wrong(
            "strict in the hidden layers too",
            """
def made_masks(inputs, hidden):
    layers = [inputs, *hidden, inputs]
    return [b[:, None] > a for a, b in zip(layers, layers[1:])]
""",
        ),
        Wrong(
            ">= and > exchanged",
            """
def made_masks(inputs, hidden):
    layers = [inputs, *hidden]
    masks = [b[:, None] > a for a, b in zip(layers, layers[1:])]
    return [*masks, inputs[:, None] >= layers[-1]]
""",
        ),
        Wrong(
            "transposed",
            """
def made_masks(inputs, hidden):
    layers = [inputs, *hidden]
    masks = [(b[:, None] >= a).T for a, b in zip(layers, layers[1:])]
    return [*masks, (inputs[:, None] > layers[-1]).T]
""",
        ),
        Wrong(
            "outputs in the natural order",
            """
def made_masks(inputs, hidden):
    layers = [inputs, *hidden]
    masks = [b[:, None] >= a for a, b in zip(layers, layers[1:])]
    natural = torch.arange(1, len(inputs) + 1)
    return [*masks, natural[:, None] > layers[-1]]
""",
        ),
    ],
)


def conditioner(x, A, a, C, c):
    """Means and log-scales, as in the notebook."""
    return x @ np.tril(A, -1).T + a, np.tanh(x @ np.tril(C, -1).T + c)


def numbers(dim, scale=0.7):
    """Two matrices and two vectors."""
    shapes = [(dim, dim), (dim,), (dim, dim), (dim,)]
    A, a, C, c = (scale * RNG.normal(size=shape) for shape in shapes)
    return A, a, C, c


def forward_test(name, batch, dim, points):
    x, theta = RNG.normal(size=(batch, dim)), numbers(dim)
    mu, log_sigma = conditioner(x, *theta)
    return Test(
        name,
        (x, *theta),
        points,
        "From data to noise each variable loses its mean and is divided by "
        "its scale; ladj is (4.4).",
        expected=((x - mu) / np.exp(log_sigma), -log_sigma.sum(1)),
    )


Q3 = Question(
    "a3.q3",
    "The flow, data to noise",
    "maf_forward",
    tests=[
        forward_test("a batch", 6, 4, 0.5),
        forward_test("one variable", 3, 1, 0.25),
        forward_test("one observation", 1, 7, 0.25),
    ],
    wrong=[
        Wrong(
            "ladj of the inverse",
            """
def maf_forward(x, A, a, C, c):
    mu, log_sigma = conditioner(x, A, a, C, c)
    return (x - mu) * torch.exp(-log_sigma), log_sigma.sum(1)
""",
        ),
        Wrong(
            "the generative formula",
            """
def maf_forward(x, A, a, C, c):
    mu, log_sigma = conditioner(x, A, a, C, c)
    return x * torch.exp(log_sigma) + mu, log_sigma.sum(1)
""",
        ),
        Wrong(
            "scales before it shifts",
            """
def maf_forward(x, A, a, C, c):
    mu, log_sigma = conditioner(x, A, a, C, c)
    return x * torch.exp(-log_sigma) - mu, -log_sigma.sum(1)
""",
        ),
        Wrong(
            "divides by log sigma",
            """
def maf_forward(x, A, a, C, c):
    mu, log_sigma = conditioner(x, A, a, C, c)
    return (x - mu) / log_sigma, -log_sigma.abs().log().sum(1)
""",
        ),
        Wrong(
            "one ladj for the whole batch",
            """
def maf_forward(x, A, a, C, c):
    mu, log_sigma = conditioner(x, A, a, C, c)
    return (x - mu) * torch.exp(-log_sigma), -log_sigma.sum()
""",
        ),
    ],
)


def inverse_test(name, batch, dim, points):
    z, theta = RNG.normal(size=(batch, dim)), numbers(dim, 0.5)
    x = np.zeros_like(z)
    for i in range(dim):  # the textbook loop
        mu, log_sigma = conditioner(x, *theta)
        x[:, i] = np.exp(log_sigma[:, i]) * z[:, i] + mu[:, i]
    return Test(
        name,
        (z, *theta),
        points,
        "Each variable needs those before it: D steps or sweeps, with the "
        "conditioner at x. The ladj of this direction is plus the sum of the "
        "log-scales at the solution.",
        expected=(x, conditioner(x, *theta)[1].sum(1)),
        rtol=1e-7,
    )


Q4 = Question(
    "a3.q4",
    "The flow, noise to data",
    "maf_inverse",
    tests=[
        inverse_test("a batch", 5, 4, 0.4),
        inverse_test("one variable", 4, 1, 0.2),
        inverse_test("many variables", 3, 12, 0.4),
    ],
    wrong=[
        Wrong(
            "the conditioner sees the noise",
            """
def maf_inverse(z, A, a, C, c):
    mu, log_sigma = conditioner(z, A, a, C, c)
    return z * torch.exp(log_sigma) + mu, log_sigma.sum(1)
""",
        ),
        Wrong(
            "three sweeps for any D",
            """
def maf_inverse(z, A, a, C, c):
    x = torch.zeros_like(z)
    for _ in range(3):
        mu, log_sigma = conditioner(x, A, a, C, c)
        x = z * torch.exp(log_sigma) + mu
    return x, conditioner(x, A, a, C, c)[1].sum(1)
""",
        ),
        Wrong(
            "ladj of the other direction",
            """
def maf_inverse(z, A, a, C, c):
    x = torch.zeros_like(z)
    for _ in range(z.shape[1]):
        mu, log_sigma = conditioner(x, A, a, C, c)
        x = z * torch.exp(log_sigma) + mu
    return x, -conditioner(x, A, a, C, c)[1].sum(1)
""",
        ),
        Wrong(
            "ladj at the noise",
            """
def maf_inverse(z, A, a, C, c):
    x = torch.zeros_like(z)
    for _ in range(z.shape[1]):
        mu, log_sigma = conditioner(x, A, a, C, c)
        x = z * torch.exp(log_sigma) + mu
    return x, conditioner(z, A, a, C, c)[1].sum(1)
""",
        ),
        Wrong(
            "from the last variable to the first",
            """
def maf_inverse(z, A, a, C, c):
    x = torch.zeros_like(z)
    for i in reversed(range(z.shape[1])):
        mu, log_sigma = conditioner(x, A, a, C, c)
        new = z[:, i] * torch.exp(log_sigma[:, i]) + mu[:, i]
        x = torch.cat([x[:, :i], new[:, None], x[:, i + 1:]], 1)
    return x, conditioner(x, A, a, C, c)[1].sum(1)
""",
        ),
    ],
)


def iaf_test(name, batch, dim, points):
    z, theta = RNG.normal(size=(batch, dim)), numbers(dim)
    mu, log_sigma = conditioner(z, *theta)
    noise = -0.5 * (z**2).sum(1) - 0.5 * dim * math.log(2 * math.pi)
    return Test(
        name,
        (z, *theta),
        points,
        "An IAF conditions on z; the density of its own samples is (5.4), "
        "with the base at z and minus the sum of the log-scales.",
        expected=(np.exp(log_sigma) * z + mu, noise - log_sigma.sum(1)),
    )


Q5 = Question(
    "a3.q5",
    "The inverse autoregressive flow",
    "iaf_sample",
    tests=[
        iaf_test("a batch", 6, 3, 0.5),
        iaf_test("one variable", 5, 1, 0.25),
        iaf_test("one sample", 1, 8, 0.25),
    ],
    wrong=[
        Wrong(
            "a MAF",
            """
def iaf_sample(z, A, a, C, c):
    x = torch.zeros_like(z)
    for _ in range(z.shape[1]):
        mu, log_sigma = conditioner(x, A, a, C, c)
        x = z * torch.exp(log_sigma) + mu
    noise = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    return x, noise - conditioner(x, A, a, C, c)[1].sum(1)
""",
        ),
        Wrong(
            "plus ladj",
            """
def iaf_sample(z, A, a, C, c):
    mu, log_sigma = conditioner(z, A, a, C, c)
    noise = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    return z * torch.exp(log_sigma) + mu, noise + log_sigma.sum(1)
""",
        ),
        Wrong(
            "the base at x",
            """
def iaf_sample(z, A, a, C, c):
    mu, log_sigma = conditioner(z, A, a, C, c)
    x = z * torch.exp(log_sigma) + mu
    noise = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    return x, noise - log_sigma.sum(1)
""",
        ),
        Wrong(
            "renamed, not inverted",
            """
def iaf_sample(z, A, a, C, c):
    mu, log_sigma = conditioner(z, A, a, C, c)
    noise = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    return (z - mu) * torch.exp(-log_sigma), noise + log_sigma.sum(1)
""",
        ),
        Wrong(
            "no constant in the base",
            """
def iaf_sample(z, A, a, C, c):
    mu, log_sigma = conditioner(z, A, a, C, c)
    noise = -z.square().sum(1) / 2
    return z * torch.exp(log_sigma) + mu, noise - log_sigma.sum(1)
""",
        ),
    ],
)


def divergence(m, covariance, L, b):
    """KL of the data from the model itself, with its inverse matrices."""
    flow = np.linalg.inv(L)
    mean, model = -flow @ b, flow @ flow.T
    shift = mean - m
    precision = np.linalg.inv(model)
    logdets = np.linalg.slogdet(model)[1] - np.linalg.slogdet(covariance)[1]
    size = np.trace(precision @ covariance) + shift @ precision @ shift
    return np.array(0.5 * (size - len(m) + logdets))


def divergence_test(name, dim, points, sign=1.0):
    root = RNG.normal(size=(dim, dim)) + np.eye(dim)
    covariance = root @ root.T + 0.1 * np.eye(dim)
    L = np.tril(0.5 * RNG.normal(size=(dim, dim)), -1)
    L = L + sign * np.diag(np.exp(0.5 * RNG.normal(size=dim)))
    m, b = RNG.normal(size=dim), RNG.normal(size=dim)
    return Test(
        name,
        (m, covariance, L, b),
        points,
        "By the duality the divergence equals that of the pushed data, the "
        "Gaussian N(L m + b, L Sigma L^T), from the base N(0, I).",
        expected=divergence(m, covariance, L, b),
        rtol=1e-7,
    )


Q6 = Question(
    "a3.q6",
    "A divergence, from the other side",
    "forward_kl",
    tests=[
        divergence_test("three variables", 3, 0.4),
        divergence_test("one variable", 1, 0.2),
        divergence_test("six variables", 6, 0.2),
        divergence_test("a negative diagonal", 2, 0.2, sign=-1.0),
    ],
    wrong=[
        Wrong(
            "the reverse divergence",
            """
def forward_kl(m, Sigma, L, b):
    mean, covariance = L @ m + b, L @ Sigma @ L.T
    P = torch.linalg.inv(covariance)
    size = torch.trace(P) + mean @ P @ mean - len(m)
    return (size + torch.logdet(covariance)) / 2
""",
        ),
        Wrong(
            "no log-determinant of the data's covariance",
            """
def forward_kl(m, Sigma, L, b):
    mean, covariance = L @ m + b, L @ Sigma @ L.T
    size = torch.trace(covariance) + mean @ mean - len(m)
    return size / 2 - torch.diagonal(L).abs().log().sum()
""",
        ),
        Wrong(
            "no mean",
            """
def forward_kl(m, Sigma, L, b):
    covariance = L @ Sigma @ L.T
    size = torch.trace(covariance) - len(m)
    return (size - torch.logdet(covariance)) / 2
""",
        ),
        Wrong(
            "a cross-entropy",
            """
def forward_kl(m, Sigma, L, b):
    mean, covariance = L @ m + b, L @ Sigma @ L.T
    size = torch.trace(covariance) + mean @ mean
    nats = (size + len(m) * math.log(2 * math.pi)) / 2
    return nats - torch.diagonal(L).abs().log().sum()
""",
        ),
        Wrong(
            "the model's mean is b",
            """
def forward_kl(m, Sigma, L, b):
    mean, covariance = m + b, L @ Sigma @ L.T
    size = torch.trace(covariance) + mean @ mean - len(m)
    return (size - torch.logdet(covariance)) / 2
""",
        ),
        Wrong(
            "the logarithm of a negative diagonal",
            """
def forward_kl(m, Sigma, L, b):
    mean, covariance = L @ m + b, L @ Sigma @ L.T
    size = torch.trace(covariance) + mean @ mean - len(m)
    logdet = torch.logdet(Sigma) + 2 * torch.diagonal(L).log().sum()
    return (size - logdet) / 2
""",
        ),
    ],
)

with torch.random.fork_rng(devices=[]):
    # so large that nobody finds it by trying
    torch.manual_seed(0x3E7DADE858FB0BB6)
    X_TRAIN, X_TEST = two_moons().sample(5000), two_moons().sample(10_000)
START = of_a_gaussian(X_TRAIN, X_TEST)
LIMIT = two_moons().log_prob(X_TEST).mean().item()
# from a Gaussian to the true density; over fifty seeds the solution gets
# 0.915 of the way, with a standard deviation of 0.016 (at least 0.865)
LEVELS = levels(START, LIMIT, (0.3, 0.6, 0.8))

Q7 = Trained(
    "a3.q7",
    "A MAF on moons",
    X_TRAIN.numpy(),
    X_TEST.numpy(),
    box=5.0,
    thresholds=LEVELS,
    wrong=[
        Wrong(
            "the same order in all layers",
            """
class SameOrder(Stack):
    def log_prob(self, x):
        total = torch.zeros(len(x))
        for layer in self.layers:
            x, ladj = layer(x)
            total = total + ladj
        return total - x.square().sum(1) / 2 - math.log(2 * math.pi)

    def sample(self, n):
        z = torch.randn(n, 2)
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z
"""
            + weak("SameOrder(3)", 250),
        ),
        Wrong("one layer", weak("Stack(1)", 250)),
        Wrong("hardly trained", weak("Stack(6)", 15)),
        Wrong(
            "the wrong sign of ladj",
            """
def log_prob(model, x):
    with torch.no_grad():
        total = torch.zeros(len(x))
        for layer in model.layers:
            z, ladj = layer(x)
            x, total = z.flip(1), total - ladj
        return total - x.square().sum(1) / 2 - math.log(2 * math.pi)
""",
        ),
        Wrong(
            "does not undo the reversal",
            """
def sample(model, n):
    with torch.no_grad():
        z = torch.randn(n, 2)
        for layer in reversed(model.layers):
            z = layer.inverse(z)
        return z
""",
        ),
        Wrong(
            "promises more than it has",
            """
def log_prob(model, x):
    with torch.no_grad():
        return model.log_prob(x) + 0.5
""",
        ),
    ],
)

QUESTIONS = [
    Q1,
    Q2,
    Written("a3.w1", "Random degrees", 2),
    Q3,
    Q4,
    Q5,
    Q6,
    Written("a3.w2", "A bend between two layers", 2),
    Q7,
]
