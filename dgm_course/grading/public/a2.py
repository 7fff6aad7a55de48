"""Public checks of assignment 2, reversible networks."""

from __future__ import annotations

from typing import Any

import torch

from . import (
    Answer,
    Mismatch,
    Part,
    density,
    double,
    matrices,
    random,
    same,
    score,
    tensor,
)

LEVELS = (-3.79, -3.53, -3.27)  # nats per point of a2.q6, one point each
BOX = 4.5


def q1(block_inverse: Answer, block: Answer) -> None:
    """Biases alone, where tanh is known; then forward and back."""
    zero, bias = torch.zeros(1, 1).double(), double(0.5)
    y = double([1.0, 2.0], [0.0, -1.0])
    answer = block_inverse(y, zero, bias, zero, 2 * bias)
    moved = torch.cat([bias, 2 * bias]).tanh()
    same("x where F and G ignore their input", answer, y - moved)
    numbers = matrices(3, seed=30)
    x = random(5, 6, seed=34)
    answer = block_inverse(block(x, *numbers), *numbers)
    same("x after the block and your inverse", answer, x)


def q2(block_backward: Answer, block: Answer) -> None:
    """Autograd through the block, with everything stored."""
    numbers = [x.requires_grad_() for x in matrices(2, seed=40)]
    x, grad_y = random(3, 4, seed=44).requires_grad_(), random(3, 4, seed=45)
    y = block(x, *numbers)
    expected = torch.autograd.grad((y * grad_y).sum(), [x, *numbers])
    given = [part.detach() for part in (y, grad_y, *numbers)]
    answer = block_backward(*given)
    if not isinstance(answer, tuple | list) or len(answer) != 6:
        raise Mismatch(
            "expected six tensors: x, then the gradients of x, A, a, C and c"
        )
    names = ["x", *(f"the gradient of {name}" for name in "xAaCc")]
    for name, value, right in zip(names, answer, [x.detach(), *expected]):
        same(name, value, right)


def q3(checkpoint_peak: Answer) -> None:
    """Small chains that can be counted by hand."""
    a, s = torch.tensor([1, 1, 1, 1]), torch.tensor([4, 4, 4, 4])
    late = torch.tensor([4, 4, 4, 40])
    for name, inner, k, right in (
        ("four equal blocks, k = 4", s, 4, 17),
        ("four equal blocks, k = 2", s, 2, 10),
        ("four equal blocks, k = 1", s, 1, 8),
        ("a large last block, k = 3", late, 3, 42),
        ("a large first block, k = 2", late.flip(0), 2, 45),
    ):
        answer = checkpoint_peak(a, inner, k)
        if answer is None:
            raise Mismatch("not answered yet, None came back")
        if not isinstance(answer, int) or answer != right:
            raise Mismatch(f"{name}: expected {right}, got {answer!r}")


def q4(downsample: Answer) -> None:
    """Numbered pixels."""
    x = torch.arange(16.0).double().view(1, 1, 4, 4)
    expected = double(
        [[0.0, 2], [8, 10]], [[1, 3], [9, 11]],
        [[4, 6], [12, 14]], [[5, 7], [13, 15]],
    )[None]  # fmt: skip
    same("the pixels 0, ..., 15 in blocks of 2x2", downsample(x, 2), expected)
    answer = tensor("9x9, m = 3", downsample(random(1, 2, 9, 9, seed=50), 3),
                    (1, 18, 3, 3))  # fmt: skip
    same("its sum", answer.sum(), random(1, 2, 9, 9, seed=50).sum())


def q5(upsample: Answer, downsample: Answer) -> None:
    """Back from yours, with anything in the added channels."""
    x = random(2, 3, 6, 4, seed=60)
    for m, added in ((2, 0), (2, 5)):
        z = tensor("your downsample(x, 2)", downsample(x, m), (2, 12, 3, 2))
        more = torch.cat([z, random(2, added, 3, 2, seed=61)], 1)
        same(f"x, with {added} channels added", upsample(more, m, added), x)


def q6(train: Answer, log_prob: Answer, sample: Answer, model: Any) -> None:
    """An honest density, and how well it fits."""
    from ...data.toy import ring

    density(model, log_prob, sample, BOX)
    torch.manual_seed(1)
    score(model, log_prob, ring().sample(10_000), LEVELS)


PARTS = [
    Part("a2.q1", 1, ("block_inverse",), q1, needs=("block",)),
    Part("a2.q2", 2, ("block_backward",), q2, needs=("block",)),
    Part("a2.q3", 1, ("checkpoint_peak",), q3),
    Part("a2.w1", 2),
    Part("a2.q4", 1, ("downsample",), q4),
    Part("a2.q5", 1, ("upsample",), q5, needs=("downsample",)),
    Part("a2.w2", 2),
    Part("a2.q6", 3, ("train", "log_prob", "sample"), q6, needs=("model",)),
]
