"""Hidden tests of assignment 4; see ``dgm_course.grading.questions``."""

import math

import numpy as np
import torch

from dgm_course.grading.levels import levels, of_a_gaussian, weak
from dgm_course.grading.questions import (
    Question,
    Test,
    Trained,
    Written,
    Wrong,
)

RNG = np.random.default_rng(743_001)


def field_test(name, taps, dilations, points):
    """Count the delays that are reached, layer by layer."""
    reached = {0}
    for k, d in zip(taps, dilations):
        reached = {delay + j * d for delay in reached for j in range(k)}
    return Test(
        name,
        (np.array(taps, dtype=np.int64), np.array(dilations, dtype=np.int64)),
        points,
        "Each layer adds the reach of its own filter, one dilation less than "
        "taps times dilation, and the sample itself counts as one.",
        expected=max(reached) + 1,
    )


Q1 = Question(
    "a4.q1",
    "What a stack sees",
    "receptive_field",
    tests=[
        field_test("unlike layers", (2, 5, 3, 2), (1, 3, 2, 7), 0.5),
        field_test("one layer", (4,), (6,), 0.25),
        field_test("layers of one tap", (1, 3, 1), (5, 2, 9), 0.25),
    ],
    wrong=[
        Wrong(
            "two taps in each layer",
            """
def receptive_field(taps, dilations):
    return 1 + int(dilations.sum())
""",
        ),
        Wrong(
            "taps times dilations",
            """
def receptive_field(taps, dilations):
    return 1 + int((taps * dilations).sum())
""",
        ),
        Wrong(
            "the sample itself does not count",
            """
def receptive_field(taps, dilations):
    return int(((taps - 1) * dilations).sum())
""",
        ),
        Wrong(
            "the taps of the last layer everywhere",
            """
def receptive_field(taps, dilations):
    return 1 + int((taps[-1] - 1) * dilations.sum())
""",
        ),
    ],
)


def log_level(x, logits, means, log_scales, count):
    """By sinh h / (cosh h + cosh u), which loses no digits either."""
    top = count - 1
    u = (2 * x[:, None] / top - 1 - means) / np.exp(log_scales)
    h = np.exp(-log_scales) / top
    four = np.stack([u, -u, h, -h])
    bins = h + np.log(-np.expm1(-2 * h)) - np.logaddexp.reduce(four)
    # the tails beyond the ends
    bins = np.where(x[:, None] == 0, -np.logaddexp(0, -u - h), bins)
    bins = np.where(x[:, None] == top, -np.logaddexp(0, u - h), bins)
    weights = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return np.logaddexp.reduce(weights + bins, axis=1)


def level_test(name, x, count, components, size, points):
    n, x = len(x), np.array(x, dtype=np.int64)
    parameters = (
        RNG.normal(size=(n, components)),
        0.5 * RNG.normal(size=(n, components)),
        math.log(size) + 0.3 * RNG.normal(size=(n, components)),
    )
    return Test(
        name,
        (x, *parameters, count),
        points,
        "A bin has the mass between its two edges, half of the distance of "
        "two levels to either side, but the first and the last bin reach to "
        "infinity; weights sum to one; and far out or in a narrow bin the "
        "logarithm must be written so that nothing cancels.",
        expected=log_level(x, *parameters, count),
    )


INSIDE = """
def log_level(x, logits, means, log_scales, levels):
    top = levels - 1
    y = 2 * x.to(means.dtype) / top - 1
    u = (y[:, None] - means) * torch.exp(-log_scales)
    half = torch.exp(-log_scales) / {width}
    up_to, from_on = F.logsigmoid(u + half), F.logsigmoid(half - u)
    bins = up_to + from_on + torch.log(-torch.expm1(-2 * half))
    bins = torch.where((x == top)[:, None], {last}, bins)
    bins = torch.where((x == 0)[:, None], {first}, bins)
    return {mixture}
"""
LEVEL = {
    "width": "top",
    "last": "from_on",
    "first": "up_to",
    "mixture": "torch.logsumexp(logits.log_softmax(1) + bins, 1)",
}


def level(**changes):
    """A log-probability with something changed."""
    return INSIDE.format(**(LEVEL | changes))


Q2 = Question(
    "a4.q2",
    "The probability of a level",
    "log_level",
    tests=[
        level_test(
            "sixteen levels", (0, 15, 3, 0, 8, 15, 11, 6), 16, 3, 0.3, 0.5
        ),
        level_test("one component", (0, 0, 4, 2, 4), 5, 1, 1.0, 0.25),
        level_test(
            "16 bits",
            (40_000, 65_535, 0, 7, 31_000, 22_222),
            65_536,
            4,
            0.05,
            0.5,
        ),
        level_test(
            "far out in a tail",
            (50, 60_000, 65_000, 900),
            65_536,
            2,
            1e-4,
            0.5,
        ),
        level_test("one sample in 24 bits", (9_000_000,), 2**24, 5, 2.0, 0.25),
    ],
    wrong=[
        Wrong(
            "edge bins end",
            level(last="bins", first="bins"),
        ),
        Wrong("the last bin ends", level(last="bins")),
        Wrong("the edge bins exchanged", level(last="up_to", first="from_on")),
        Wrong("bins of 2 / levels", level(width="levels")),
        Wrong("bins twice as wide", level(width="top * 2.0")),
        Wrong(
            "weights that do not sum to one",
            level(mixture="torch.logsumexp(logits + bins, 1)"),
        ),
        Wrong(
            "the mean of the logarithms",
            level(mixture="(logits.softmax(1) * bins).sum(1)"),
        ),
        Wrong(
            "the difference of two sigmoids",
            """
def log_level(x, logits, means, log_scales, levels):
    top = levels - 1
    ends = torch.stack([2 * x - 1 - top, 2 * x + 1 - top]).double() / top
    below = torch.sigmoid((ends[..., None] - means) / log_scales.exp())
    below[0][x == 0], below[1][x == top] = 0.0, 1.0
    return (logits.softmax(1) * (below[1] - below[0])).sum(1).log()
""",
        ),
        Wrong(
            "the density times the width",
            """
def log_level(x, logits, means, log_scales, levels):
    y = 2 * x.double() / (levels - 1) - 1
    u = (y[:, None] - means) * torch.exp(-log_scales)
    each = -u - 2 * F.softplus(-u) - log_scales + math.log(2 / (levels - 1))
    return torch.logsumexp(logits.log_softmax(1) + each, 1)
""",
        ),
    ],
)


def gated(h, W_f, W_g, d):
    """Tap by tap and time by time."""
    length = h.shape[2]
    raw = np.zeros((2, *h.shape))
    for which, weights in enumerate((W_f, W_g)):
        taps = weights.shape[2]
        for t in range(length):
            for j in range(taps):
                back = t - (taps - 1 - j) * d
                if back >= 0:
                    raw[which, :, :, t] += h[:, :, back] @ weights[:, :, j].T
    return h + np.tanh(raw[0]) / (1 + np.exp(-raw[1]))


def gated_test(name, shape, taps, d, points):
    h, channels = RNG.normal(size=shape), shape[1]
    filters = [RNG.normal(size=(channels, channels, taps)) for _ in range(2)]
    return Test(
        name,
        (h, *filters, d),
        points,
        "Output t is made of inputs t, t - d, ..., t - (k - 1) d, where the "
        "last tap is now: pad (k - 1) d zeros on the left and none on the "
        "right. The tanh belongs to the first filter.",
        expected=gated(h, *filters, d),
    )


GATED = """
def gated_layer(h, W_f, W_g, d):
    reach = (W_f.shape[2] - 1) * d
    padded = {padded}
    signal = F.conv1d(padded, W_f, dilation=d)
    gate = F.conv1d(padded, W_g, dilation=d)
    return {value}
"""
LAYER = {
    "padded": "F.pad(h, (reach, 0))",
    "value": "h + torch.tanh(signal) * torch.sigmoid(gate)",
}


def layer(**changes):
    """A gated layer with something changed."""
    return GATED.format(**(LAYER | changes))


Q3 = Question(
    "a4.q3",
    "A gated layer",
    "gated_layer",
    tests=[
        gated_test("two taps", (2, 3, 9), 2, 1, 0.25),
        gated_test("three taps, dilated", (3, 2, 14), 3, 3, 0.5),
        gated_test("a dilation longer than the sound", (1, 4, 5), 2, 8, 0.25),
    ],
    wrong=[
        Wrong(
            "zeros on both sides",
            layer(padded="F.pad(h, (reach // 2, reach - reach // 2))"),
        ),
        Wrong("zeros on the right", layer(padded="F.pad(h, (0, reach))")),
        Wrong(
            "sees one sample ahead",
            layer(padded="F.pad(h, (reach, 1))[..., 1:]"),
        ),
        Wrong(
            "one step late",
            layer(padded="F.pad(h, (reach + 1, -1))"),
        ),
        Wrong(
            "the filters exchanged",
            layer(value="h + torch.tanh(gate) * torch.sigmoid(signal)"),
        ),
        Wrong(
            "no residual", layer(value="torch.tanh(signal) * gate.sigmoid()")
        ),
        Wrong(
            "the first tap is now",
            """
_right_layer = gated_layer
def gated_layer(h, W_f, W_g, d):
    return _right_layer(h, W_f.flip(2), W_g.flip(2), d)
""",
        ),
        Wrong(
            "not dilated",
            """
_right_layer = gated_layer
def gated_layer(h, W_f, W_g, d):
    return _right_layer(h, W_f, W_g, 1)
""",
        ),
    ],
)


def past(x, w):
    """A linear function of the samples before, time by time."""
    found = np.zeros_like(x)
    for t in range(x.shape[1]):
        for j in range(min(len(w), t)):
            found[:, t] += w[j] * x[:, t - 1 - j]
    return found


def conditionals(z, steps):
    """Sound, means and log-scales."""
    x, m, s = z, np.zeros_like(z), np.zeros_like(z)
    for A, B in steps:
        a, b = np.tanh(past(x, A)), past(x, B)
        x, m, s = (x - b) * np.exp(-a), (m - b) * np.exp(-a), s - a
    return x, m, s


def student_test(name, shape, taps, points):
    z = RNG.logistic(size=shape)
    steps = [(0.4 * RNG.normal(size=k), 0.6 * RNG.normal(size=k)) for k in taps]
    return Test(
        name,
        (z, steps),
        points,
        "Each step changes what the steps before it made of the mean in the "
        "same way as the sound, and log-scales add up; the networks of a "
        "step see its whole input at once.",
        expected=conditionals(z, steps),
    )


STUDENT = """
def student(z, steps):
    x, mean, total = z, 0 * z, 0 * z
    for A, B in steps:
        slope, center = torch.tanh(late({seen}, A)), late({seen}, B)
        x = {x}
        mean = {mean}
        total = {total}
    return x, mean, total
"""
IAF = {
    "seen": "x",
    "x": "(x - center) * torch.exp(-slope)",
    "mean": "(mean - center) * torch.exp(-slope)",
    "total": "total - slope",
}


def iaf(**changes):
    """A student with something changed."""
    return STUDENT.format(**(IAF | changes))


Q4 = Question(
    "a4.q4",
    "A student",
    "student",
    tests=[
        student_test("two steps", (3, 7), (3, 2), 0.5),
        student_test("three steps of one tap", (2, 9), (1, 1, 1), 0.25),
        student_test("four steps, one sound", (1, 5), (2, 4, 1, 3), 0.25),
    ],
    wrong=[
        Wrong("means are added, not scaled", iaf(mean="mean - center")),
        Wrong("the last step's mean", iaf(mean="-center * torch.exp(-slope)")),
        Wrong("the last step's log-scale", iaf(total="-slope")),
        Wrong("the sign of the log-scales", iaf(total="total + slope")),
        Wrong("every network sees the noise", iaf(seen="z")),
        Wrong("multiplies and adds", iaf(x="x * torch.exp(slope) + center")),
        Wrong("scales first", iaf(x="x * torch.exp(-slope) - center")),
        Wrong(
            "sample after sample: networks see the output",
            """
def student(z, steps):
    x, mean, total = z, 0 * z, 0 * z
    for A, B in steps:
        y = torch.zeros_like(z)
        for t in range(z.shape[1]):
            slope, center = torch.tanh(late(y, A)), late(y, B)
            y[:, t] = ((x - center) * torch.exp(-slope))[:, t]
        mean = (mean - center) * torch.exp(-slope)
        x, total = y, total - slope
    return x, mean, total
""",
        ),
    ],
)


def kl_test(name, draws, shape, taps, offset, points):
    m, s = RNG.normal(size=shape), 0.4 * RNG.normal(size=shape) - 1
    x = m + np.exp(s) * RNG.logistic(size=shape)
    noise = RNG.logistic(size=(draws, *shape))
    w, log_b = 0.5 * RNG.normal(size=taps), float(RNG.normal()) / 2 - 0.5
    u = (m + np.exp(s) * noise - past(x, w)) / np.exp(log_b)
    gap = offset / np.exp(log_b)
    both = [
        -np.logaddexp(0, v) - np.logaddexp(0, -v) for v in (u + gap, u - gap)
    ]
    log_p = np.logaddexp(*both) - math.log(2) - log_b
    return Test(
        name,
        (x, m, s, noise, w, offset, log_b),
        points,
        "Cross-entropy minus entropy: minus the mean log-density of the "
        "draws under the mixture that the teacher expects after the sound's "
        "past, minus s + 2, summed over time.",
        expected=(-log_p.mean(0) - s - 2).sum(1),
    )


KL = """
def kl_estimate(x, m, s, noise, taps, offset, log_scale):
    means, log_b = teacher({heard}, taps, offset, log_scale)
    drawn = ({drawn})[..., None]
    u = (drawn - means) * math.exp(-log_b)
    each = -u - 2 * F.softplus(-u) - {log_b}
    log_p = {mixture}
    return {value}
"""
RIGHT = {
    "heard": "x",
    "drawn": "m + s.exp() * noise",
    "log_b": "log_b",
    "mixture": "torch.logsumexp(each, -1) - math.log(2)",
    "value": "(-log_p.mean(0) - s - 2).sum(1)",
}


def kl(**changes):
    """An estimate with something changed."""
    return KL.format(**(RIGHT | changes))


Q5 = Question(
    "a4.q5",
    "The divergence from a teacher",
    "kl_estimate",
    tests=[
        kl_test("several draws", 5, (3, 6), 2, 0.8, 0.5),
        kl_test("one draw", 1, (4, 5), 1, 1.5, 0.25),
        kl_test("one sound, both modes in one place", 7, (1, 8), 3, 0.0, 0.25),
    ],
    wrong=[
        Wrong(
            "the entropy is added",
            kl(value="(-log_p.mean(0) + s + 2).sum(1)"),
        ),
        Wrong("an entropy of s", kl(value="(-log_p.mean(0) - s).sum(1)")),
        Wrong(
            "the entropy of a Gaussian",
            kl(
                value="(-log_p.mean(0) - s - (1 + math.log(2 * math.pi)) / 2)"
                ".sum(1)"
            ),
        ),
        Wrong("per sample", kl(value="(-log_p.mean(0) - s - 2).mean(1)")),
        Wrong(
            "the sound in the place of the draws",
            kl(drawn="x + 0 * noise"),
        ),
        Wrong(
            "the teacher hears the means",
            kl(heard="m"),
        ),
        Wrong(
            "the logarithm of the mean density",
            kl(
                value="(-torch.logsumexp(log_p, 0) + math.log(len(noise))"
                " - s - 2).sum(1)"
            ),
        ),
        Wrong("no weights", kl(mixture="torch.logsumexp(each, -1)")),
        Wrong("the scale's Jacobian is missing", kl(log_b="0 * log_b")),
    ],
)


def second_mean(first):
    """What the second sample swings around."""
    return 1.2 * torch.sin(2 * first)


def sounds(n):
    """The notebook's sounds, from the current random state."""
    u, sign = torch.rand(n, 2), torch.randint(2, (n, 2)) * 2 - 1
    noise = torch.logit(u, eps=1e-6)
    first = 1.5 * sign[:, 0] + 0.25 * noise[:, 0]
    second = second_mean(first) + 0.6 * sign[:, 1]
    return torch.stack([first, second + 0.1 * noise[:, 1]], 1)


def two_modes(x, apart, scale):
    """Log-density of an equal mixture of two logistics at -+apart."""
    each = []
    for mean in (-apart, apart):
        u = (x - mean) / scale
        each.append(-u - 2 * torch.nn.functional.softplus(-u))
    return torch.logaddexp(*each) - math.log(2 * scale)


with torch.random.fork_rng(devices=[]):
    # so large that nobody finds it by trying
    torch.manual_seed(0x51D6C2E9A84B7F03)
    X_TRAIN, X_TEST = sounds(5000), sounds(10_000)
FIRST, SECOND = X_TEST.unbind(1)
LIMIT = two_modes(FIRST, 1.5, 0.25) + two_modes(
    SECOND - second_mean(FIRST), 0.6, 0.1
)
# from a Gaussian to the true density; over 24 seeds the solution gets 0.977 of
# the way, with a standard deviation of 0.003 (at least 0.970)
LEVELS = levels(
    of_a_gaussian(X_TRAIN, X_TEST),
    LIMIT.mean().item(),
    (0.3, 0.6, 0.85),
)

PAIR = """
class {name}(Pair):
    def log_prob(self, x):
        first = self.first.expand(len(x), -1)
        second = self.second({given})
        return {value}
"""
HONEST = "log_logistics(x[:, 0], first) + log_logistics(x[:, 1], second)"

Q6 = Trained(
    "a4.q6",
    "A teacher for two samples",
    X_TRAIN.numpy(),
    X_TEST.numpy(),
    box=6.0,
    thresholds=LEVELS,
    wrong=[
        Wrong("hardly trained", weak("Pair()", 12)),
        Wrong(
            "the second sample ignores the first",
            PAIR.format(name="Alone", given="0 * x[:, :1]", value=HONEST)
            + weak("Alone()", 300),
        ),
        Wrong("one logistic each", weak("Pair(components=1)", 300)),
        Wrong(
            "the second sample sees itself",
            PAIR.format(name="OnTime", given="x[:, 1:]", value=HONEST)
            + weak("OnTime()", 200),
        ),
        Wrong(
            "weights that do not sum to one",
            """
def log_prob(model, x):
    with torch.no_grad():
        return model.log_prob(x) + 0.3
""",
        ),
        Wrong(
            "samples the second from another sound",
            """
def sample(model, n):
    with torch.no_grad():
        x = model.sample(n)
        return torch.stack([x[:, 0], x[:, 1].roll(1)], 1)
""",
        ),
        Wrong(
            "samples means only",
            """
def sample(model, n):
    with torch.no_grad():
        logits, means, _ = model.first.expand(n, -1).chunk(3, 1)
        first = means.gather(1, torch.multinomial(logits.softmax(1), 1))
        logits, means, _ = model.second(first).chunk(3, 1)
        k = torch.multinomial(logits.softmax(1), 1)
        return torch.cat([first, means.gather(1, k)], 1)
""",
        ),
    ],
)

QUESTIONS = [
    Q1,
    Q2,
    Q3,
    Written("a4.w1", "On time, and one step late", 2),
    Q4,
    Q5,
    Written("a4.w2", "One mode at a time", 2),
    Q6,
]
