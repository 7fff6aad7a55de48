"""Networks on pictures: how far they see, where they start."""

import pytest
import torch
from support import randomize

from dgm_course.nn import (
    MLP,
    ConvNet,
    GatedNet,
    GatedResidual,
    SelfAttention,
    TransformerBlock,
    conv,
)
from dgm_course.nn.attention import coordinates
from dgm_course.nn.outputs import bounded, per_value


def seen(net, shape, *context):
    """Which input place acts on which output place, bool (out, in)."""
    x = torch.randn(1, *shape, dtype=torch.float64)
    matrix = torch.autograd.functional.jacobian(lambda x: net(x, *context), x)
    _, outputs, *size, _, inputs, _, _ = matrix.shape
    places = size[0] * size[1]
    matrix = matrix.reshape(outputs, places, inputs, places)
    return (matrix != 0).any(2).any(0)


def neighbours(size, reach):
    """Places at most ``reach`` rows and columns apart."""
    row, column = torch.meshgrid(
        torch.arange(size), torch.arange(size), indexing="ij"
    )
    far = [(a[:, None] - a).abs() for a in (row.flatten(), column.flatten())]
    return torch.maximum(*far) <= reach


@pytest.mark.parametrize("weight_norm", [False, True])
def test_convolution_keeps_the_size_and_sees_its_kernel(weight_norm):
    layer = randomize(conv(2, 3, 5, weight_norm)).double()
    assert torch.equal(seen(layer, (2, 6, 6)), neighbours(6, 2))


def test_length_and_direction_of_a_kernel_are_apart():
    layer = conv(2, 3, weight_norm=True)
    length = layer.parametrizations.weight.original0
    found = layer.weight.flatten(1).norm(dim=1)
    torch.testing.assert_close(found, length.flatten())
    assert len(length) == 3


@pytest.mark.parametrize("heads", [0, 2])
def test_networks_see_as_far_as_they_should(heads):
    net = randomize(ConvNet(2, 8, 3)).double()
    assert torch.equal(seen(net, (2, 6, 6)), neighbours(6, 2))
    net = randomize(GatedNet(2, 4, 3, blocks=1, heads=heads)).double()
    reach = 6 if heads else 3  # three convolutions; attention sees all
    assert torch.equal(seen(net, (2, 6, 6)), neighbours(6, reach))


def test_causal_attention_sees_the_past_and_the_present():
    attention = randomize(SelfAttention(4, 2, causal=True)).double()
    past = torch.ones(9, 9).tril().bool()
    assert torch.equal(seen(attention, (4, 3, 3)), past)
    attention.causal = False
    assert seen(attention, (4, 3, 3)).all()


def test_attention_is_a_weighted_mean_of_values():
    """The definition, head by head and place by place."""
    attention = randomize(SelfAttention(4, heads=2)).double()
    x = torch.randn(1, 4, 2, 3, dtype=torch.float64)
    inputs = attention.inputs(torch.cat([x, coordinates(x)], 1))
    query, key, value = inputs[0].flatten(1).chunk(3)
    found = []
    for q, k, v in zip(query.chunk(2), key.chunk(2), value.chunk(2)):
        weight = (q.T @ k / 2**0.5).softmax(1)
        found.append(v @ weight.T)
    a, b = attention.gate(torch.cat(found).view_as(x)).chunk(2, 1)
    torch.testing.assert_close(attention(x), x + a * b.sigmoid())


def test_attention_knows_positions():
    attention = randomize(SelfAttention(4))
    out = attention(torch.ones(1, 4, 2, 2))[0].flatten(1)
    assert len(out.unique(dim=1)[0]) == 4
    expected = torch.tensor([[[-0.5, -0.5], [0.5, 0.5]]])
    row, column = coordinates(torch.zeros(1, 1, 2, 2))[0]
    assert torch.equal(row[None], expected) and torch.equal(column, row.T)


NETWORKS = {
    "conv": lambda context: ConvNet(2, 4, 2, context),
    "gated": lambda context: GatedNet(2, 4, 2, 2, context),
    "block": lambda context: GatedResidual(2, context),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_context_is_a_vector_or_a_picture(name):
    net = randomize(NETWORKS[name](3))
    x, vector = torch.randn(2, 2, 4, 5), torch.randn(2, 3)
    picture = vector[:, :, None, None].expand(-1, -1, 4, 5)
    torch.testing.assert_close(net(x, vector), net(x, picture))
    assert (net(x, vector) != net(x, vector.flip(0))).any()
    for wrong in (None, torch.randn(2, 4)):
        with pytest.raises(ValueError, match="expects 3 channels"):
            net(x, wrong)
    with pytest.raises(ValueError, match=r"\(2, 3\).*that is, none"):
        NETWORKS[name](0)(x, vector)


def test_networks_start_at_zero_and_blocks_as_the_identity():
    x = torch.randn(2, 4, 3, 3)
    for net in (ConvNet(4, 8, 6), GatedNet(4, 8, 6, 2)):
        assert net(x).shape == (2, 6, 3, 3) and (net(x) == 0).all()
    for block in (GatedResidual(4), SelfAttention(4)):
        assert torch.equal(block(x), x)
    # and leave it: the last layer has a gradient
    for net in (ConvNet(4, 8, 6), GatedNet(4, 8, 6, 2)):
        net(x).sin().sum().backward()
        *_, last = net.children()
        assert any(p.grad.abs().sum() > 0 for p in last.parameters())


def test_dropout_drops_in_training_only():
    block = randomize(GatedResidual(4, dropout=0.5))
    x = torch.randn(2, 4, 3, 3)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


def test_a_causal_convolution_makes_a_causal_block():
    class Below(torch.nn.Conv2d):
        """Sees the rows above, by padding and cropping."""

        def forward(self, x):
            return super().forward(x)[:, :, : x.shape[2]]

    block = GatedResidual(
        2, convolution=lambda i, o: Below(i, o, 3, padding=(3, 1))
    )
    matrix = seen(randomize(block).double(), (2, 4, 4)).view(4, 4, 4, 4)
    above = torch.ones(4, 4).tril(-1).bool()
    rows = matrix.permute(0, 2, 1, 3).flatten(2)
    assert torch.equal(rows.any(2), above | torch.eye(4).bool())
    same = matrix[torch.arange(4), :, torch.arange(4)]
    assert torch.equal(same, torch.eye(4).bool().expand(4, 4, 4))


def test_outputs_are_read_parameter_after_parameter():
    raw = torch.arange(12).view(1, 6, 2)
    values = per_value(raw, 3)
    assert values.shape == (3, 1, 2, 2)
    assert values[:, 0, 1, 0].tolist() == [2, 6, 10]
    # a row of a table has no places
    assert torch.equal(per_value(raw[..., 0], 3), values[..., 0])
    with pytest.raises(ValueError, match=r"\(1, 6, 2\).*4 \* C"):
        per_value(raw, 4)
    x = torch.tensor([0.01, 1e9, -1e9])
    assert bounded(x, 2.0).tolist() == pytest.approx([0.01, 2, -2], rel=1e-5)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="size = 4"):
        conv(1, 1, 4)
    with pytest.raises(ValueError, match="channels = 6 for 4 heads"):
        SelfAttention(6)
    with pytest.raises(ValueError, match="width = 0 for 4 heads"):
        TransformerBlock(0)
    with pytest.raises(ValueError, match="context = -2"):
        MLP(2, (4,), 2, context=-2)
