"""Hidden tests of assignment 2; see ``dgm_course.grading.questions``."""

import numpy as np
import torch

from dgm_course.data import ring
from dgm_course.grading.levels import levels, of_a_gaussian, weak
from dgm_course.grading.questions import (
    Question,
    Test,
    Trained,
    Written,
    Wrong,
)

RNG = np.random.default_rng(723_001)


def numbers(half, scale=0.7):
    """Two matrices and two vectors."""
    shapes = [(half, half), (half,), (half, half), (half,)]
    A, a, C, c = (scale * RNG.normal(size=shape) for shape in shapes)
    return A, a, C, c


def outputs(x, A, a, C, c):
    """The block, forward."""
    x1, x2 = np.split(x, 2, 1)
    y1 = x1 + np.tanh(x2 @ A.T + a)
    return np.concatenate([y1, x2 + np.tanh(y1 @ C.T + c)], 1)


def inverse_test(name, batch, half, points):
    x, theta = RNG.normal(size=(batch, 2 * half)), numbers(half)
    return Test(
        name,
        (outputs(x, *theta), *theta),
        points,
        "What was added last is taken away first, and each network is called "
        "at the half where it was called before.",
        expected=x,
        rtol=1e-7,
    )


Q1 = Question(
    "a2.q1",
    "A block, undone",
    "block_inverse",
    tests=[
        inverse_test("a batch", 6, 3, 0.5),
        inverse_test("two numbers", 4, 1, 0.25),
        inverse_test("one observation", 1, 5, 0.25),
    ],
    wrong=[
        Wrong(
            "the slide's: F and G exchanged",
            """
def block_inverse(y, A, a, C, c):
    y1, y2 = y.chunk(2, 1)
    x2 = y2 - layer(y1, A, a)
    return torch.cat([y1 - layer(x2, C, c), x2], 1)
""",
        ),
        Wrong(
            "F at y2",
            """
def block_inverse(y, A, a, C, c):
    y1, y2 = y.chunk(2, 1)
    x2 = y2 - layer(y1, C, c)
    return torch.cat([y1 - layer(y2, A, a), x2], 1)
""",
        ),
        Wrong(
            "F first",
            """
def block_inverse(y, A, a, C, c):
    y1, y2 = y.chunk(2, 1)
    x1 = y1 - layer(y2, A, a)
    return torch.cat([x1, y2 - layer(x1, C, c)], 1)
""",
        ),
        Wrong(
            "adds",
            """
def block_inverse(y, A, a, C, c):
    y1, y2 = y.chunk(2, 1)
    x2 = y2 + layer(y1, C, c)
    return torch.cat([y1 + layer(x2, A, a), x2], 1)
""",
        ),
        Wrong(
            "halves exchanged",
            """
def block_inverse(y, A, a, C, c):
    y1, y2 = y.chunk(2, 1)
    x2 = y2 - layer(y1, C, c)
    return torch.cat([x2, y1 - layer(x2, A, a)], 1)
""",
        ),
    ],
)


def backward_test(name, batch, half, points):
    x, theta = RNG.normal(size=(batch, 2 * half)), numbers(half)
    A, a, C, c = theta
    y, grad_y = outputs(x, *theta), RNG.normal(size=x.shape)
    x2, y1 = np.split(x, 2, 1)[1], np.split(y, 2, 1)[0]
    g1, g2 = np.split(grad_y, 2, 1)
    into_g = g2 * (1 - np.tanh(y1 @ C.T + c) ** 2)
    z1 = g1 + into_g @ C  # the total derivative
    into_f = z1 * (1 - np.tanh(x2 @ A.T + a) ** 2)
    grad_x = np.concatenate([z1, g2 + into_f @ A], 1)
    return Test(
        name,
        (y, grad_y, *theta),
        points,
        "From the last line to the first: take away what G added, send the "
        "gradient of y2 through G to its weights and to y1, add it to that "
        "of y1; then the same with F and this sum.",
        expected=(
            x,
            grad_x,
            into_f.T @ x2,
            into_f.sum(0),
            into_g.T @ y1,
            into_g.sum(0),
        ),
        rtol=1e-7,
    )


BACKWARD = """
def block_backward(y, grad_y, A, a, C, c):
    y1, y2 = y.chunk(2, 1)
    g1, g2 = grad_y.chunk(2, 1)
    t = layer(y1, C, c)
    x2, to_g = y2 - t, g2 * (1 - t**2)
    z1 = {z1}
    t = layer(x2, A, a)
    x1, to_f = y1 - t, {above_f} * (1 - t**2)
    grad_x = torch.cat([{grad_x1}, {grad_x2}], 1)
    x = torch.cat([x1, x2], 1)
    return x, grad_x, to_f.T @ {f_saw}, {sum_f}, to_g.T @ {g_saw}, to_g.sum(0)
"""
RIGHT = {
    "z1": "g1 + to_g @ C",
    "above_f": "z1",
    "grad_x1": "z1",
    "grad_x2": "g2 + to_f @ A",
    "f_saw": "x2",
    "sum_f": "to_f.sum(0)",
    "g_saw": "y1",
}


def backward(**changes):
    """A backward pass with something changed."""
    return BACKWARD.format(**(RIGHT | changes))


Q2 = Question(
    "a2.q2",
    "Its backward pass",
    "block_backward",
    tests=[
        backward_test("a batch", 7, 3, 1.0),
        backward_test("two numbers", 4, 1, 0.5),
        backward_test("one observation", 1, 4, 0.5),
    ],
    wrong=[
        Wrong(
            "the gradient of y1 alone goes through F", backward(above_f="g1")
        ),
        Wrong("nothing comes back through G", backward(z1="g1")),
        Wrong("nothing comes back through F", backward(grad_x2="g2")),
        Wrong("transposed matrices", backward(z1="g1 + to_g @ C.T")),
        Wrong("F saw x1", backward(f_saw="x1")),
        Wrong("G saw x1", backward(g_saw="x1")),
        Wrong("means over the batch", backward(sum_f="to_f.mean(0) + 0 * a")),
        Wrong(
            "gradients at y in place of x",
            """
def block_backward(y, grad_y, A, a, C, c):
    wanted = [t.clone().requires_grad_() for t in (y, A, a, C, c)]
    with torch.enable_grad():
        z = block(*wanted)
    return block_inverse(y, A, a, C, c), *torch.autograd.grad(
        z, wanted, grad_y)
""",
        ),
    ],
)


def peak(a, s, k):
    """Each moment of the backward pass, one after the other."""
    starts = range(0, len(a), k)
    moments = [
        sum(a[i] for i in starts if i <= start) + sum(s[start : start + k])
        for start in starts
    ]
    return int(max(moments))


def bytes_test(name, blocks, k, points, growing=0):
    slope = growing * np.arange(blocks)
    a = RNG.integers(1, 9, blocks) + np.maximum(slope, 0)
    s = RNG.integers(5, 60, blocks) + np.maximum(-slope[::-1], 0)
    return Test(
        name,
        (a.astype(np.int64), s.astype(np.int64), k),
        points,
        "While a segment is run again, the kept inputs of this and all "
        "earlier segments are there, and the activations of all of its "
        "blocks. Look for the segment at which the sum is largest.",
        expected=peak(a, s, k),
    )


Q3 = Question(
    "a2.q3",
    "The bytes of checkpointing",
    "checkpoint_peak",
    tests=[
        bytes_test("segments of four", 12, 4, 0.4),
        bytes_test("each input kept", 9, 1, 0.2, growing=-20),
        bytes_test("a short last segment", 11, 4, 0.2, growing=9),
        bytes_test("one segment", 5, 5, 0.1),
        bytes_test("large activations in front", 10, 3, 0.1, growing=-20),
    ],
    wrong=[
        Wrong(
            "all inputs are kept to the end",
            """
def checkpoint_peak(a, s, k):
    runs = [int(s[i : i + k].sum()) for i in range(0, len(s), k)]
    return int(a[::k].sum()) + max(runs)
""",
        ),
        Wrong(
            "the last segment is the peak",
            """
def checkpoint_peak(a, s, k):
    last = (len(a) - 1) // k * k
    return int(a[::k].sum()) + int(s[last:].sum())
""",
        ),
        Wrong(
            "one block is run again at a time",
            """
def checkpoint_peak(a, s, k):
    kept = a[::k].cumsum(0).repeat_interleave(k)[: len(s)]
    return int((kept + s).max())
""",
        ),
        Wrong(
            "the kept inputs are forgotten",
            """
def checkpoint_peak(a, s, k):
    return max(int(s[i : i + k].sum()) for i in range(0, len(s), k))
""",
        ),
        Wrong(
            "the input of a running segment is let go",
            """
def checkpoint_peak(a, s, k):
    kept, peak = 0, 0
    for start in range(0, len(a), k):
        peak = max(peak, kept + int(s[start : start + k].sum()))
        kept += int(a[start])
    return peak
""",
        ),
    ],
)


def squeezed(x, m):
    """Each pixel, one by one."""
    b, channels, h, w = x.shape
    z = np.zeros((b, m * m * channels, h // m, w // m))
    for c in range(channels):
        for i in range(m):
            for j in range(m):
                z[:, m * m * c + m * i + j] = x[:, c, i::m, j::m]
    return z


def down_test(name, shape, m, points):
    x = RNG.normal(size=shape)
    return Test(
        name,
        (x, m),
        points,
        "Pixel (i, j) of each block of channel c goes to channel "
        "m^2 c + m i + j, at the place of its block.",
        expected=squeezed(x, m),
    )


Q4 = Question(
    "a2.q4",
    "Downsampling that loses nothing",
    "downsample",
    tests=[
        down_test("blocks of two", (3, 2, 4, 6), 2, 0.5),
        down_test("blocks of three", (2, 2, 6, 9), 3, 0.25),
        down_test("one channel, one picture", (1, 1, 8, 4), 4, 0.25),
    ],
    wrong=[
        Wrong(
            "pixels before channels",
            """
def downsample(x, m):
    b, c, h, w = x.shape
    z = x.view(b, c, h // m, m, w // m, m).permute(0, 3, 5, 1, 2, 4)
    return z.reshape(b, -1, h // m, w // m)
""",
        ),
        Wrong(
            "rows and columns exchanged",
            """
def downsample(x, m):
    b, c, h, w = x.shape
    z = x.view(b, c, h // m, m, w // m, m).permute(0, 1, 5, 3, 2, 4)
    return z.reshape(b, -1, h // m, w // m)
""",
        ),
        Wrong(
            "quarters of the picture in place of blocks",
            """
def downsample(x, m):
    b, c, h, w = x.shape
    z = x.view(b, c, m, h // m, m, w // m).permute(0, 1, 2, 4, 3, 5)
    return z.reshape(b, -1, h // m, w // m)
""",
        ),
        Wrong(
            "a view of the memory as it lies",
            """
def downsample(x, m):
    b, c, h, w = x.shape
    return x.reshape(b, m * m * c, h // m, w // m)
""",
        ),
        Wrong(
            "pooling, repeated",
            """
def downsample(x, m):
    z = nn.functional.avg_pool2d(x, m)
    return z.repeat_interleave(m * m, 1)
""",
        ),
    ],
)


def up_test(name, shape, m, added, points):
    z = RNG.normal(size=shape)
    kept = z[:, : shape[1] - added]
    channels = kept.shape[1] // (m * m)
    x = np.zeros((shape[0], channels, m * shape[2], m * shape[3]))
    for c in range(channels):
        for i in range(m):
            for j in range(m):
                x[:, c, i::m, j::m] = kept[:, m * m * c + m * i + j]
    return Test(
        name,
        (z, m, added),
        points,
        "Drop the channels that were added, which stand at the end, and put "
        "channel m^2 c + m i + j back to pixel (i, j) of its blocks.",
        expected=x,
    )


Q5 = Question(
    "a2.q5",
    "Its pseudo-inverse",
    "upsample",
    tests=[
        up_test("added channels", (2, 12, 3, 2), 2, 4, 0.5),
        up_test("blocks of three", (2, 20, 2, 3), 3, 2, 0.25),
        up_test("none added", (1, 12, 2, 2), 2, 0, 0.25),
    ],
    wrong=[
        Wrong(
            "drops the first channels",
            """
def upsample(z, m, added):
    return nn.functional.pixel_shuffle(z[:, added:], m)
""",
        ),
        Wrong(
            "a view of the memory as it lies",
            """
def upsample(z, m, added):
    b, n, h, w = z.shape
    kept = z[:, : n - added].contiguous()
    return kept.view(b, -1, m * h, m * w)
""",
        ),
        Wrong(
            "rows and columns exchanged",
            """
def upsample(z, m, added):
    b, n, h, w = z.shape
    c = (n - added) // m**2
    x = z[:, : n - added].view(b, c, m, m, h, w).permute(0, 1, 4, 3, 5, 2)
    return x.reshape(b, c, m * h, m * w)
""",
        ),
        Wrong(
            "quarters in place of blocks",
            """
def upsample(z, m, added):
    b, n, h, w = z.shape
    c = (n - added) // m**2
    x = z[:, : n - added].view(b, c, m, m, h, w).permute(0, 1, 2, 4, 3, 5)
    return x.reshape(b, c, m * h, m * w)
""",
        ),
    ],
)

with torch.random.fork_rng(devices=[]):
    # so large that nobody finds it by trying
    torch.manual_seed(0x0C607F467C46E99C)
    X_TRAIN, X_TEST = ring().sample(5000), ring().sample(10_000)
    X_TEST = X_TEST[(X_TEST.abs() < 4.5).all(1)]
START = of_a_gaussian(X_TRAIN, X_TEST)
LIMIT = ring().log_prob(X_TEST).mean().item()
# fractions of the way from a Gaussian to the true density
LEVELS = levels(START, LIMIT, (0.2, 0.45, 0.7))

Q6 = Trained(
    "a2.q6",
    "A reversible network on a ring",
    X_TRAIN.numpy(),
    X_TEST.numpy(),
    box=4.5,
    thresholds=LEVELS,
    wrong=[
        Wrong("one block", weak("Ring(1)", 250)),
        Wrong("hardly trained", weak("Ring(6)", 15)),
        Wrong(
            "no log-determinant of the scaling",
            """
def log_prob(model, x):
    with torch.no_grad():
        return model.log_prob(x) - model.log_scale.sum()
""",
        ),
        Wrong(
            "samples without the scaling",
            """
def sample(model, n):
    with torch.no_grad():
        x = torch.randn(n, 2)
        for part in reversed(model.blocks):
            x = part.undo(x)
        return x
""",
        ),
        Wrong(
            "blocks undone in their own order",
            """
def sample(model, n):
    with torch.no_grad():
        x = torch.randn(n, 2) * (-model.log_scale).exp()
        for part in model.blocks:
            x = part.undo(x)
        return x
""",
        ),
        Wrong(
            "F and G exchanged on the way back",
            """
def sample(model, n):
    with torch.no_grad():
        x = torch.randn(n, 2) * (-model.log_scale).exp()
        for part in reversed(model.blocks):
            a, b = x.chunk(2, 1)
            b = b - part.f(a)
            x = torch.cat([a - part.g(b), b], 1)
        return x
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
    Q3,
    Written("a2.w1", "Blocks without halves", 2),
    Q4,
    Q5,
    Written("a2.w2", "Features with more numbers than the picture", 2),
    Q6,
]
