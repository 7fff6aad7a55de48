"""TarFlow: what a patch sees, and how it is found again."""

import sys

import pytest
import torch
import torch.nn.functional as F
from support import properties, randomize

from dgm_course import flows
from dgm_course.nn import Memory

tarflow = sys.modules["dgm_course.flows.tarflow"]

SHAPE = (2, 4, 6)
EPS = torch.finfo(torch.float64).eps


def flow(**options):
    torch.manual_seed(0)
    return randomize(flows.PatchMAF(SHAPE, 2, 8, 2, 2, **options)).double()


def pictures(n=3, shape=SHAPE):
    return torch.randn(n, *shape, dtype=torch.float64)


def who_sees_whom(one):
    """Which patches of z depend on which of x: (T, T), by all derivatives."""
    x = one.picture(torch.randn(1, 6, 8, dtype=torch.float64))
    found = torch.autograd.functional.jacobian(
        lambda some: one.patches(one(one.picture(some))[0]), one.patches(x)
    )
    return found.abs().sum((0, 2, 3, 5)) > 0


@pytest.mark.parametrize("reverse", [False, True])
def test_a_patch_sees_itself_and_all_before_it(reverse):
    expected = torch.ones(6, 6).tril() > 0
    assert torch.equal(who_sees_whom(flow(reverse=reverse)), expected)


def test_patches_are_blocks_of_pixels_and_come_back():
    one, x = flow(), torch.arange(48.0).view(1, *SHAPE)
    cut = one.patches(x)
    # two rows of three patches; the second patch, channel after channel
    assert cut.shape == (1, 6, 8)
    assert cut[0, 1].tolist() == [2, 3, 8, 9, 26, 27, 32, 33]
    assert torch.equal(one.picture(cut), x)
    backward = flow(reverse=True)
    assert torch.equal(backward.patches(x), cut.flip(1))
    assert torch.equal(backward.picture(cut.flip(1)), x)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_cached_inverse_is_that_of_the_textbook(reverse):
    one, z = flow(reverse=reverse, context=3), pictures()
    context = torch.randn(3, 3, dtype=torch.float64)
    size = properties.condition(one.inverse, z, context)
    for fast, slow in zip(
        one.inverse(z, context), one.inverse_textbook(z, context)
    ):
        assert (fast - slow).abs().max() <= 256 * EPS * size


def test_each_patch_passes_once_through_the_network():
    one, rows = flow(), []
    one.enter.register_forward_hook(lambda *args: rows.append(args[2].shape[1]))
    one.inverse(pictures())
    assert rows == [1] * 5
    rows.clear()
    one.inverse_textbook(pictures())
    assert rows == [1, 2, 3, 4, 5]


def everywhere(query, key, value):
    """A mutant: attention to later places too."""
    return F.scaled_dot_product_attention(query, key, value)


def test_attention_to_later_patches_is_caught(monkeypatch):
    monkeypatch.setattr(tarflow, "causal", everywhere)
    with pytest.raises(AssertionError):
        test_a_patch_sees_itself_and_all_before_it(False)


def test_a_patch_that_speaks_of_itself_is_caught(monkeypatch):
    """What is said at place t, used at place t: no longer triangular."""

    def unshifted(self, x, context=None):
        x = self.patches(x)
        parameters = self._said(x[:, 1:], self._told(context))
        z, slope = self.conditional.forward(x[:, 1:], parameters)
        return self.picture(torch.cat([x[:, :1], z], 1)), slope.sum((1, 2))

    monkeypatch.setattr(flows.PatchMAF, "forward", unshifted)
    for check in (properties.round_trip, properties.ladj_is_logdet):
        with pytest.raises(AssertionError):
            check(flow(), pictures(), None)


class Late(Memory):
    """A mutant: a place is remembered one step after it came."""

    def __call__(self, query, key, value):
        key_before, value_before = self.key, self.value
        found = super().__call__(query, key, value)
        if key_before is None:
            return found
        return F.scaled_dot_product_attention(query, key_before, value_before)


def test_a_memory_one_step_late_is_caught(monkeypatch):
    monkeypatch.setattr(tarflow, "Memory", Late)
    with pytest.raises(AssertionError):
        test_the_cached_inverse_is_that_of_the_textbook(False)


def test_the_order_is_turned_between_flows():
    parts = [f for f in flows.tarflow((1, 4, 4)).flow.flows]
    turned = [f.reverse for f in parts if isinstance(f, flows.PatchMAF)]
    assert turned == [False, True, False, True]


def test_it_starts_as_the_identity():
    """Up to the logit, whose bytes it maps."""
    x = 255 * torch.rand(3, 1, 4, 4)
    model = flows.tarflow((1, 4, 4))
    expected, _ = flows.Logit()(x)
    assert torch.equal(model.flow(x)[0], expected.flatten(1))


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"4x6 .* patches of 4x4"):
        flows.PatchMAF(SHAPE, 4)
    with pytest.raises(ValueError, match=r"\(3, 2, 4, 4\); .* \(B, 2, 4, 6\)"):
        flow()(pictures(shape=(2, 4, 4)))
    with pytest.raises(ValueError, match="width 0; this flow expects 3"):
        flow(context=3)(pictures())
    with pytest.raises(ValueError, match="width = 6 for 4 heads"):
        flows.tarflow((1, 4, 4), width=6)
    with pytest.raises(ValueError, match="flows = 0"):
        flows.tarflow((1, 4, 4), flows=0)
