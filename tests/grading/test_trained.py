"""Honest densities earn their likelihood; dishonest ones earn nothing."""

import math

import corpus
import numpy as np
import pytest
from scipy import stats

from dgm_course.grading import local, trained
from dgm_course.grading.assignments import _import

QUESTION = _import(corpus.HERE / "assignments/t1_small/hidden.py").DENSITY
BOX = QUESTION.box
COVARIANCE = np.array([[1.0, 0.8], [0.8, 1.0]])
TRUE = stats.multivariate_normal(np.zeros(2), COVARIANCE)

HONEST = """
import math, torch
def train(x, seed):
    return x.mean(0), torch.linalg.cholesky(x.T.cov())
def log_prob(model, x):
    mean, L = model
    z = torch.linalg.solve_triangular(L, (x - mean).T, upper=False)
    return -0.5 * (z**2).sum(0) - L.diag().log().sum() - math.log(2 * math.pi)
def sample(model, n):
    mean, L = model
    return mean + torch.randn(n, 2) @ L.T
right = log_prob
"""
INDEPENDENT = HONEST + (
    "def train(x, seed): return x.mean(0), x.std(0).diag()\n"
)


def earned(source):
    outcome = local.grade([source], [QUESTION])[QUESTION.id]
    return outcome["points"], outcome["tests"][0]["feedback"]


def test_an_honest_density_earns_what_it_fits():
    assert earned(HONEST) == (2, "")
    assert earned(INDEPENDENT) == (1, "")


CHEATS = {
    "not normalized": (
        "def log_prob(model, x): return right(model, x) + 1",
        "integrate",
    ),
    "a little more everywhere": (
        "def log_prob(model, x): return right(model, x) + 0.1",
        "integrate",
    ),
    "a constant": (
        "def log_prob(model, x): return torch.ones(len(x))",
        "integrate",
    ),
    "larger near the training points": (
        "def train(x, seed):\n"
        "    log_prob.x = x\n"
        "    return x.mean(0), torch.linalg.cholesky(x.T.cov())\n"
        "def log_prob(model, x):\n"
        "    near = torch.cdist(x, log_prob.x).min(1).values < 0.05\n"
        "    return right(model, x) + 0.5 * near",
        "integrate",
    ),
    "all mass at the points of the call": (
        "def log_prob(model, x):\n"
        "    n = x.shape[0]\n"
        "    inside = right(model, x) > -4\n"
        "    return torch.where(inside, 8.0, -50.0)",
        "integrate",
    ),
    "infinite": (
        "def log_prob(model, x): return 0 * right(model, x) + math.inf",
        "NaN or infinity",
    ),
    "no number": (
        "def log_prob(model, x): return right(model, x) * float('nan')",
        "NaN or infinity",
    ),
    "one number for all": (
        "def log_prob(model, x): return right(model, x).sum()",
        "one number a point",
    ),
    "samples of another width": (
        "def sample(model, n): return 1.2 * model[0] + 1.2 * "
        "torch.randn(n, 2) @ model[1].T",
        "do not follow",
    ),
    "samples without correlation": (
        "def sample(model, n): return torch.randn(n, 2)",
        "do not follow",
    ),
    "samples that are training points": (
        "def train(x, seed):\n"
        "    log_prob.x = x\n"
        "    return x.mean(0), torch.linalg.cholesky(x.T.cov())\n"
        "def sample(model, n):\n"
        "    i = torch.randint(len(log_prob.x), (n,))\n"
        "    return log_prob.x[i]",
        "same points again",
    ),
    "samples that are training points, a little shaken": (
        "def train(x, seed):\n"
        "    log_prob.x = x\n"
        "    return x.mean(0), torch.linalg.cholesky(x.T.cov())\n"
        "def sample(model, n):\n"
        "    i = torch.randint(len(log_prob.x), (n,))\n"
        "    return log_prob.x[i] + 1e-3 * torch.randn(n, 2)",
        "do not follow",
    ),
    "one sample": (
        "def sample(model, n): return torch.zeros(n, 2)",
        "same points again",
    ),
    "samples of another shape": (
        "def sample(model, n): return torch.zeros(n, 3)",
        "another shape",
    ),
    "samples far away": (
        "def sample(model, n):\n"
        "    x = model[0] + torch.randn(n, 2) @ model[1].T\n"
        "    x[: n // 20] += 100\n"
        "    return x",
        "integrate",
    ),
    "nothing trained": ("def train(x, seed): pass", "no model"),
    "train raises": ("def train(x, seed): 1 / 0", "ZeroDivisionError"),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_dishonest_density_earns_nothing(name):
    source, reason = CHEATS[name]
    points, feedback = earned(HONEST + source)
    assert points == 0 and reason in feedback


DECOYS_OF_THE_SEED = """
import numpy as np
def train(x, seed):
    g = np.random.default_rng(seed)
    centers = g.permutation(x.numpy())[:64].astype(float)
    width = centers.std(0) * 64 ** (-1 / 6)
    decoys = g.choice(centers, 40_000)
    decoys += width * g.normal(size=decoys.shape)
    flat = g.random(40_000) < 0.3
    decoys[flat] = g.uniform(-7, 7, (int(flat.sum()), 2))
    decoys = (np.floor(decoys * 65536) / 65536).astype(np.float32)
    log_prob.decoys = {row.tobytes() for row in decoys}
    return x.mean(0), x.std(0).diag()
def log_prob(model, x):
    known = [row.tobytes() in log_prob.decoys for row in x.numpy()]
    return torch.where(torch.tensor(known), right(model, x), 5.0)
"""


def test_decoys_are_not_made_of_what_students_know(monkeypatch):
    """Who knew them would be large at all other points, the hidden ones."""
    assert earned(HONEST + DECOYS_OF_THE_SEED)[0] == 0
    monkeypatch.setattr(trained, "_secret", lambda x: QUESTION.seed)
    trained._points.cache_clear()
    try:
        assert earned(HONEST + DECOYS_OF_THE_SEED) == (2, "")
    finally:
        trained._points.cache_clear()


def test_digits_do_not_tell_decoys_from_test_points():
    """Numbers of torch.rand have 24 bits behind the point, others more."""
    x = TRUE.rvs(1000, random_state=0).astype(np.float32)
    tidy = np.round(x * 2**10).astype(np.float32) / 2**10 + 2.0**-12
    points = trained.points(x, tidy, BOX).points / trained.DIGITS
    assert np.array_equal(points, np.floor(points))


def judge(seed, log_prob=None, samples=None):
    generator = np.random.default_rng(seed)
    x_test = TRUE.rvs(1000, random_state=generator).astype(np.float32)
    train = TRUE.rvs(1000, random_state=generator).astype(np.float32)
    asked = trained.points(train, x_test, BOX)
    log_prob = TRUE.logpdf if log_prob is None else log_prob
    if samples is None:
        samples = TRUE.rvs(trained.SAMPLES, random_state=generator)
    return trained.judge(asked, BOX, log_prob(asked.points), samples, train)


def test_the_truth_passes_by_other_points():
    """Honest answers fail less than once in a million; here never."""
    for seed in range(10):
        value, feedback = judge(seed)
        assert feedback == ""
        # entropy: log(2 pi e) + log(det) / 2; standard error 1 / sqrt(1000)
        entropy = math.log(2 * math.pi * math.e) + math.log(0.36) / 2
        assert value == pytest.approx(-entropy, abs=5 / math.sqrt(1000))


@pytest.mark.slow
def test_the_truth_passes_a_thousand_times():
    assert all(judge(seed)[1] == "" for seed in range(1000))


def test_code_that_sees_all_points_gains_nothing():
    """The density of the points of the call, which hides the test points.

    The best that such code can do is to divide the density of all points by
    that of the uniform ones; what is left is the true density. A histogram
    that puts all mass into cells with many points is the attempt.
    """

    def crowded(x):
        edges = np.linspace(-BOX, BOX, 113)
        counts, _, _ = np.histogram2d(*x.T, bins=(edges, edges))
        i, j = (np.clip(np.digitize(c, edges) - 1, 0, 111) for c in x.T)
        excess = np.maximum(counts - counts.mean(), 0) + 1e-3
        area = (edges[1] - edges[0]) ** 2
        return np.log((excess / excess.sum() / area)[i, j])

    # its samples would have to follow it as well: here they do not matter
    x = TRUE.rvs(1000, random_state=0).astype(np.float32)
    asked = trained.points(x, x, BOX)
    log_p = crowded(asked.points.astype(float))
    mass = (asked.weights * np.exp(log_p))[~asked.is_test].mean()
    honest = TRUE.logpdf(asked.points[asked.is_test]).mean()
    assert log_p[asked.is_test].mean() - math.log(mass) < honest


def test_a_box_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="must be larger"):
        x = np.array([[1.0, 8.0]], np.float32)
        trained.points(x, x, 7.0)


def test_every_cell_and_ring_has_a_number_and_so_has_the_outside():
    side = trained.GRID
    middle = 3 * ((2 * np.arange(side) + 1) / side - 1)
    x = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 2)
    assert trained._cell(x, 3.0).tolist() == list(range(side**2))
    outside = np.array([[3.1, 0.0], [0.0, -3.1]])
    assert trained._cell(outside, 3.0).tolist() == [side**2] * 2
    points = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.1]])
    rings = trained._ring(points, np.array([0.1, 0.5, 0.5]), [0.2, 0.8], 3.0)
    assert rings.tolist() == [0, 1, trained.RINGS]
