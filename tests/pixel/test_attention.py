"""Attention between places: who attends to whom, and what breaks it."""

import sys

import pytest
import torch
import torch.nn.functional as F
from support.pixel import MODELS, sight

from dgm_course.nn import Memory
from dgm_course.nn.attention import coordinates
from dgm_course.pixel import ImageTransformer, snail
from dgm_course.pixel.image_transformer import blocks_1d, blocks_2d

image_transformer = sys.modules["dgm_course.pixel.image_transformer"]


def attended(blocks, place):
    """The places that one place attends to, in its picture."""
    size = blocks.queries.shape[1]
    block, offset = divmod(int(blocks.key[place]), size)
    assert int(blocks.queries[block, offset]) == place
    return sorted(blocks.memory[block][blocks.seen[block, offset]].tolist())


def test_blocks_of_a_row_of_places():
    """Five places in blocks of two, and three places of memory."""
    blocks = blocks_1d(1, 5, 2, 3)
    assert blocks.order().tolist() == [0, 1, 2, 3, 4]
    found = [attended(blocks, place) for place in range(5)]
    # the block 2, 3 begins at 2, and remembers 0 and 1
    assert found == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4]]


def test_blocks_of_rectangles():
    """3 x 5 places in blocks of 2 x 2; the last ones are cut off."""
    blocks = blocks_2d(3, 5, (2, 2), (1, 1))
    # numbered row by row, drawn block by block
    order = [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]
    assert blocks.order().tolist() == order
    # its own block, and what is drawn to the left of it
    assert attended(blocks, 7) == [1, 2, 3, 6, 7]
    # the row above with a column on either side; to its right nothing is drawn
    assert attended(blocks, 12) == [6, 7, 8, 9, 11, 12]


@pytest.mark.parametrize("query, memory", [((2, 3), (1, 2)), ((5, 2), (0, 1))])
def test_rectangles_see_what_is_near_and_earlier(query, memory):
    """Place by place, as the paper says it."""
    height, width = 5, 7
    blocks = blocks_2d(height, width, query, memory)
    rank = blocks.order().argsort()
    for place in range(height * width):
        i, j = divmod(place, width)
        top, left = i // query[0] * query[0], j // query[1] * query[1]
        near = [
            k * width + m
            for k in range(top - memory[0], top + query[0])
            for m in range(left - memory[1], left + query[1] + memory[1])
            if 0 <= k < height and 0 <= m < width
        ]
        expected = [p for p in near if rank[p] <= rank[place]]
        assert attended(blocks, place) == expected


def leaks(name):
    """Whether a conditional depends on what is not earlier."""
    model = MODELS[name].draw(levels=3)
    seen = sight(model).flatten(3).flatten(0, 2) > 0
    order = model.order().flatten()
    return bool((seen & ~(order < order[:, None])).any())


class Unshifted(snail.Surroundings):
    """A mutant: a place is told its own pixel."""

    def forward(self, y):
        return torch.cat([y, coordinates(y)], 1)


class Brightness(snail.Surroundings):
    """A mutant: positions are weighted by the picture, all of it."""

    def forward(self, y):
        around = super().forward(y)
        return around * y.mean((1, 2, 3), keepdim=True)


@pytest.mark.parametrize("wrong", [Unshifted, Brightness])
def test_surroundings_that_leak_are_caught(wrong, monkeypatch):
    assert not leaks("PixelSNAIL")
    monkeypatch.setattr(snail, "Surroundings", wrong)
    assert leaks("PixelSNAIL")


def everywhere(query, key, value, **_):
    return F.scaled_dot_product_attention(query, key, value)


def test_attention_to_later_places_is_caught(monkeypatch):
    monkeypatch.setattr(snail, "causal", everywhere)
    assert leaks("PixelSNAIL")
    assert not leaks("Image Transformer, 1-D")
    monkeypatch.setattr(image_transformer, "local", everywhere)
    assert leaks("Image Transformer, 1-D")


@pytest.mark.parametrize("kind", ["1-D", "2-D"])
def test_a_place_that_is_told_itself_is_caught(kind, monkeypatch):
    """Place t gets what was drawn at t."""
    monkeypatch.setattr(image_transformer, "delayed", lambda x: x)
    assert leaks(f"Image Transformer, {kind}")


class Late(Memory):
    """A mutant: a place is remembered one step after it came."""

    def __call__(self, query, key, value):
        before = self.key, self.value
        found = super().__call__(query, key, value)
        if before[0] is None:
            return found
        return F.scaled_dot_product_attention(query, *before)


@torch.no_grad()
def gap(name):
    """How far what is remembered is from one pass over the whole picture."""
    model = MODELS[name].draw()
    torch.manual_seed(1)
    y = torch.randn(3, *model.shape, dtype=torch.float64)
    # what is not yet drawn may be anything
    whole, drawn = model.conditionals(y), torch.randn_like(y)
    at = model.net.stream(drawn)
    gaps = []
    for place in model.order()[0].flatten().argsort().tolist():
        i, j = divmod(place, model.shape[2])
        # the last colour sees all of those before it
        drawn[:, :-1, i, j] = y[:, :-1, i, j]
        found = at(i, j)[..., 0, 0]
        gaps.append((found - whole[:, :, i, j]).abs().max())
        drawn[:, :, i, j] = y[:, :, i, j]
    return torch.stack(gaps).max() / whole.abs().max()


ATTENTIVE = ["Image Transformer, 1-D", "Image Transformer, 2-D", "PixelSNAIL"]
# sums of some hundred products, in a few layers
ROUNDING = 1e4 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("name", [*ATTENTIVE, "PixelRNN, rows"])
def test_what_is_remembered_is_what_a_whole_pass_computes(name):
    assert gap(name) < ROUNDING


@pytest.mark.parametrize("name", ATTENTIVE[:2])
def test_a_memory_one_step_late_is_caught(name, monkeypatch):
    monkeypatch.setattr(image_transformer, "Memory", Late)
    assert gap(name) > 1e-3


def test_a_place_that_is_told_of_a_later_one_is_caught(monkeypatch):
    def here(self, y):
        return whole(self, y.flip(3))

    whole = snail.Surroundings.forward
    monkeypatch.setattr(snail.Surroundings, "forward", here)
    assert gap("PixelSNAIL") > 1e-3


def test_each_place_passes_once_through_the_network():
    net, rows = ImageTransformer(1, 4, 8, 1, 2, 3, 2), []
    net.blocks[0].register_forward_hook(
        lambda *args: rows.append(args[2].shape[1])
    )
    at = net.stream(torch.zeros(2, 1, 3, 3))
    for place in range(9):
        at(*divmod(place, 3))
        at(*divmod(place, 3))  # as another colour of the same place would ask
    assert rows == [1] * 9


def test_an_order_of_its_own_completes_nothing():
    model = MODELS["Image Transformer, 2-D"].draw()
    x = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="cannot complete a picture"):
        model.complete(x, 2)


def test_sizes_that_make_no_network_are_refused():
    with pytest.raises(ValueError, match="two numbers or two pairs"):
        ImageTransformer(1, 4, query=(2, 2), memory=3)
    with pytest.raises(ValueError, match="width = 6"):
        ImageTransformer(1, 4, width=6)
    with pytest.raises(ValueError, match="query = 0"):
        ImageTransformer(1, 4, query=0)
    with pytest.raises(ValueError, match="memory = -1"):
        ImageTransformer(1, 4, query=(2, 2), memory=(-1, 2))
