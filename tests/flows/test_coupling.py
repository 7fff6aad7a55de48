"""Partitions, networks and maps that couplings are made of."""

import pytest
import torch
from support import cases, randomize
from support.properties import jacobian

from dgm_course import flows
from dgm_course.flows import (
    Channels,
    Checkerboard,
    Coupling,
    Halves,
    PackedCheckerboard,
    ScaleShift,
    Shift,
)
from dgm_course.flows.coupling import fold
from dgm_course.nn import MLP, ConvNet

PICTURE = (2, 4, 6)


def kept_places(partition, shape=PICTURE):
    """Which values of a picture stay as they are, bool (C, H, W)."""
    x = torch.rand(1, *shape) + 1
    kept, changed = partition.split(x)
    return partition.join(kept, torch.zeros_like(changed))[0] > 0


@pytest.mark.parametrize("swap", [False, True])
def test_which_part_is_kept(swap):
    row, column = torch.meshgrid(
        torch.arange(4), torch.arange(6), indexing="ij"
    )
    board = ((row + column) % 2 == swap).expand(PICTURE)
    for kind in (Checkerboard, PackedCheckerboard):
        assert torch.equal(kept_places(kind(swap)), board)
    first = torch.tensor([True, True, False])[:, None, None] != swap
    assert torch.equal(
        kept_places(Channels(swap), (3, 4, 6)), first.expand(3, 4, 6)
    )
    halves = Halves(5, swap)
    assert (halves.kept, halves.changed) == ((2, 3) if swap else (3, 2))
    kept, changed = halves.split(torch.zeros(7, 5))
    assert kept.shape == (7, halves.kept)
    assert changed.shape == (7, halves.changed)


@pytest.mark.parametrize(
    "name",
    [
        "channels",
        "channels, odd, swapped, vector",
        "checkerboard",
        "checkerboard, swapped, picture",
        "packed, attention",
        "packed, swapped, picture",
    ],
)
def test_what_changes_depends_on_itself_and_on_what_is_kept(name):
    flow, x, context = cases.FLOWS[name].draw(3)
    matrix = jacobian(flow, x, context)
    kept = kept_places(flow.partition, x.shape[1:]).flatten()
    off = matrix - torch.diag_embed(matrix.diagonal(dim1=1, dim2=2))
    assert (off[:, kept] == 0).all()  # the kept part stays
    assert (off[:, :, ~kept] == 0).all()  # and alone has influence
    assert (off[:, ~kept][:, :, kept] != 0).any(0).any(1).all()


def test_a_network_that_sees_what_changes_is_caught():
    """The check above fails where the zeros are left out."""

    class Peeping(Checkerboard):
        def run(self, net, kept, context):
            first = 1 + torch.zeros_like(kept) + self.seen
            return self.split(net(self.join(kept, first), context))[1]

        def split(self, x):
            kept, self.seen = super().split(x)
            return kept, self.seen

    flow, x, _ = cases.FLOWS["checkerboard"].draw(3)
    flow.partition = Peeping()
    matrix = jacobian(flow, x, None)
    kept = kept_places(Checkerboard(), x.shape[1:]).flatten()
    off = matrix - torch.diag_embed(matrix.diagonal(dim1=1, dim2=2))
    assert (off[:, :, ~kept] != 0).any()


@pytest.mark.parametrize("partition", [Checkerboard, PackedCheckerboard])
def test_a_context_picture_stays_in_its_place(partition):
    """A pixel of the context acts on the 3x3 pixels around it, no others."""
    packed = partition is PackedCheckerboard
    net = ConvNet(1, 4, 1, 2 if packed else 1)
    flow = randomize(Coupling(partition(), net, Shift())).double()
    # two convolutions of width 3 reach 2 places far
    x = torch.randn(1, 1, 12, 12, dtype=torch.float64)
    context = torch.randn(1, 1, 12, 12, dtype=torch.float64)
    other = context.clone()
    other[0, 0, 5, 6] += 1
    row, column = (flow(x, context)[0] - flow(x, other)[0])[0, 0].nonzero().T
    assert len(row) > 3
    assert (row - 5).abs().max() == 2
    # a packed column is two pixels wide
    assert (column - 6).abs().max() <= (5 if packed else 2)


def test_context_is_folded_as_pictures_are_squeezed():
    context = torch.randn(2, 3, 8, 8)
    once, _ = flows.Squeeze()(context)
    small = torch.ones(2, 1, 4, 4)
    assert torch.equal(fold(context, small), once)
    for alone in (None, torch.randn(2, 3)):
        assert fold(alone, small) is alone
    for shape in [(2, 1, 3, 4), (2, 1, 16, 16), (2, 1, 4, 8), (2, 9)]:
        with pytest.raises(ValueError, match=r"context has shape \(2, 3, 8"):
            fold(context, torch.ones(shape))


def test_a_coupling_starts_where_its_conditional_starts():
    x = torch.randn(3, 2, 4, 4)
    identity = Coupling(Checkerboard(), ConvNet(2, 4, 4), ScaleShift())
    z, ladj = identity(x)
    assert torch.equal(z, x) and (ladj == 0).all()
    mixture = flows.LogisticMixture(3)
    coupling = Coupling(Checkerboard(), ConvNet(2, 4, 18), mixture)
    _, changed = coupling.partition.split(x)
    start = mixture.start()[:, None, None, None, None]
    expected, _ = mixture.forward(changed, start.expand(-1, *changed.shape))
    z, _ = coupling(x)
    assert torch.equal(coupling.partition.split(z)[1], expected)


def test_keys_are_those_of_the_shipped_weights():
    for kind in (flows.AdditiveCoupling, flows.AffineCoupling):
        keys = [*kind(4, (8,)).state_dict()]
        assert keys == ["net.0.weight", "net.0.bias", "net.2.weight",
                        "net.2.bias"]  # fmt: skip


def test_bad_input_is_refused():
    x = torch.zeros(2, 1, 4, 5)
    for partition, message in [
        (Channels(), r"\(2, 1, 4, 5\).*at least 2"),
        (Checkerboard(), r"\(2, 1, 4, 5\).*even width"),
    ]:
        with pytest.raises(ValueError, match=message):
            partition.split(x)
    with pytest.raises(ValueError, match=r"Checkerboard|checkerboard"):
        Checkerboard().split(torch.zeros(2, 4))
    wrong = Coupling(Halves(4), MLP(2, (8,), 2), ScaleShift())
    with pytest.raises(ValueError, match=r"\(3, 2\); expected \(3, 4\)"):
        wrong(torch.zeros(3, 4))
