import math

import pytest
import torch
from support.pretend import DEVICE, gpu, like

from dgm_course.data import sprites

# pixels at angle 0 for the six scales, counted in the published pictures
LIT = {
    "square": [100, 144, 196, 256, 324, 400],
    "ellipse": [76, 104, 144, 184, 228, 288],
    "heart": [58, 84, 108, 140, 182, 222],
}


def some(n, seed=0):
    """Factors of random pictures, (n, 5)."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(sprites.COUNT, (n,), generator=generator)
    return sprites.world()[index]


@pytest.mark.parametrize("shape", range(3))
def test_the_published_number_of_pixels_is_lit(shape):
    factors = sprites.world(shape=[shape], orientation=[0], x=[0], y=[0])
    lit = sprites.render(factors).sum((1, 2, 3)).tolist()
    published = LIT[sprites.SHAPES[shape]]
    # the fit of the heart errs by single pixels on its border
    assert all(abs(a - b) <= (2 if shape == 2 else 0) for a, b in
               zip(lit, published))  # fmt: skip


def test_the_world_is_in_the_published_order():
    """The row of the sprite is the fastest."""
    world = sprites.world()
    assert len(world) == sprites.COUNT == 737_280
    assert world[0].tolist() == [0, 0, 0, 0, 0]
    assert world[33].tolist() == [0, 0, 0, 1, 1]
    assert world[-1].tolist() == [2, 5, 39, 31, 31]
    assert len(world.unique(dim=0)) == len(world)


def inside(u, v, shape):
    """Whether a point lies in a sprite; the heart as a polygon."""
    if shape == 0:
        return abs(u) < 9.6 and abs(v) < 9.6
    if shape == 1:
        return math.hypot(u / 12.77, v / 7.21) < 1
    s = torch.arange(2000, dtype=torch.float64) * (2 * math.pi / 2000)
    a = 9.6 * s.sin() ** 3
    b = 13 * s.cos() - 5 * (2 * s).cos() - 2 * (3 * s).cos() - (4 * s).cos()
    b = -0.662 * b - 1.435
    a2, b2 = a.roll(-1), b.roll(-1)
    crosses = ((b > v) != (b2 > v)) & (u < (a2 - a) * (v - b) / (b2 - b) + a)
    return bool(crosses.sum() % 2)


@pytest.mark.parametrize("size", [64, 32, 9])
def test_each_pixel_tells_whether_its_centre_is_inside(size):
    factors = some(30, seed=size)
    pictures = sprites.render(factors, size)
    assert pictures.shape == (30, 1, size, size)
    assert pictures.dtype == torch.uint8
    generator = torch.Generator().manual_seed(0)
    for picture, (shape, scale, turn, x, y) in zip(pictures, factors.tolist()):
        angle, s = 2 * math.pi * turn / 39, 0.5 + 0.1 * scale
        # half of the pixels that are looked at lie around the centre
        middle = torch.tensor([y, x]) * (size / 2 / 31) + size / 4
        near = middle + size / 8 * torch.randn(20, 2, generator=generator)
        far = torch.rand(20, 2, generator=generator) * size
        for row, column in torch.cat([near, far]).long().clamp(0, size - 1):
            dx = (column + 0.5) * 64 / size - 16 - 32 * x / 31
            dy = (row + 0.5) * 64 / size - 16 - 32 * y / 31
            u = (math.cos(angle) * dx - math.sin(angle) * dy) / s
            v = (math.sin(angle) * dx + math.cos(angle) * dy) / s
            lit = inside(float(u), float(v), shape)
            assert picture[0, row, column] == lit


def test_it_turns_counter_clockwise_and_moves_right_and_down():
    ellipse = torch.tensor(
        [[1, 5, 5, 0, 0], [1, 5, 5, 31, 0], [1, 5, 5, 0, 31]]
    )
    first, right, down = sprites.render(ellipse)[:, 0]
    assert torch.equal(first[:32, :32], right[:32, 32:])
    assert torch.equal(first[:32, :32], down[32:, :32])
    # at 46 degrees the long axis goes from lower left to upper right
    assert first[8, 24] == 1 and first[24, 8] == 1
    assert first[8, 8] == 0 and first[24, 24] == 0


def test_a_full_turn_is_no_turn():
    factors = sprites.world(orientation=[0], x=[0, 7], y=[3])
    turned = factors.clone()
    turned[:, 2] = 39
    assert torch.equal(sprites.render(factors), sprites.render(turned))


def test_a_part_of_the_world():
    part = sprites.world(shape=[2], scale=[5, 0], orientation=[1], x=range(3))
    assert part.shape == (2 * 3 * 32, 5)
    assert part[0].tolist() == [2, 5, 1, 0, 0]
    assert sprites.world(x=[0]).shape == (3 * 6 * 40 * 32, 5)


@pytest.mark.parametrize("size", [64, 32, 16])
def test_nuisances_show_as_their_sum_and_touch_no_sprite(size):
    factors = sprites.world(orientation=range(0, 40, 5), x=[31], y=[31])
    plain = sprites.render(factors, size)
    w = torch.tensor([[3, 9], [12, 0], [4, 9]]).repeat(48, 1)
    drawn = sprites.render(factors, size, w)
    rows = max(1, size // 32)
    assert torch.equal(drawn[:, :, :-rows], plain[:, :, :-rows])
    assert plain[:, :, -rows:].sum() == 0
    bars = drawn[:, 0, -1].sum(1)
    assert torch.equal(bars[::3], bars[1::3])
    assert bars[0] == 12 * size // 32
    assert (bars[2::3] > bars[::3]).all() or size < 32


def test_it_draws_on_the_device_of_the_factors_without_waiting():
    factors = some(6)
    with gpu() as waits:
        there = like(factors)
        pictures = sprites.render(there, 32, there[:, 3:] % 16)
        assert pictures.device == DEVICE and pictures.shape == (6, 1, 32, 32)
        assert waits.seen == []
    assert sprites.render(factors, 32).device.type == "cpu"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: sprites.render(torch.zeros(3, 4, dtype=int)), r"\(3, 4\)"),
        (lambda: sprites.render(torch.zeros(3, 5)), "expected integers"),
        (
            lambda: sprites.render(torch.tensor([[0, 6, 0, 0, 0]])),
            r"scale takes levels from 6 to 6; expected 0, \.\.\., 5",
        ),
        (
            lambda: sprites.render(torch.zeros(1, 5, dtype=int), 4),
            "size = 4; expected at least 8",
        ),
        (
            lambda: sprites.render(
                torch.zeros(2, 5, dtype=int), nuisances=torch.zeros(2, 3)
            ),
            r"nuisances have shape \(2, 3\); .* \(2, 2\)",
        ),
        (lambda: sprites.world(colour=[1]), "no factor colour"),
        (lambda: sprites.world(shape=[3]), "shape takes levels from 3 to 3"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
