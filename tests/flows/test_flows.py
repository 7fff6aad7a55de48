"""One set of properties over every flow of the library."""

import pytest
import torch
from support import properties, randomize
from support.cases import FLOWS, ONE_WAY, PICTURE

from dgm_course import flows, verify
from dgm_course.pixel.pixelcnn import MaskedConv

EPS = torch.finfo(torch.float64).eps


@pytest.fixture(params=FLOWS)
def case(request):
    """A random flow in float64, data in its domain, and a context."""
    return FLOWS[request.param].draw()


def test_every_flow_of_the_library_is_a_case():
    """A flow that nobody lists is a flow that nobody tests."""
    tested = {
        type(module)
        for case in (FLOWS | ONE_WAY).values()
        for module in case.build().modules()
    }
    public = [getattr(flows, name) for name in flows.__all__]
    library = {c for c in public if isinstance(c, type)}
    missing = {c for c in library if issubclass(c, flows.Flow)} - tested
    missing -= {flows.Flow, flows.OneWay}  # these have no map of their own
    assert not missing, f"add to tests/support/cases.py: {missing}"


def test_round_trip(case):
    properties.round_trip(*case)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_ladj_is_logdet_of_autograd(case, direction):
    flow, x, context = case
    if direction == "inverse":
        x = flow(x, context)[0].detach()
    properties.ladj_is_logdet(getattr(flow, direction), x, context)


def test_rows_do_not_mix(case):
    properties.rows_do_not_mix(*case)


def test_dtype_and_batch_of_one(case):
    flow, x, context = case
    flow, x = flow.float(), x[:1].float()
    one = None if context is None else context[:1].float()
    z, ladj = flow(x, one)
    back, ladj_back = flow.inverse(z, one)
    for value in (z, ladj, back, ladj_back):
        assert value.dtype == torch.float32 and value.isfinite().all()
    assert z.numel() == x.numel() and back.shape == x.shape
    assert ladj.shape == ladj_back.shape == (1,)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_device(case):
    flow, x, context = case
    flow = flow.cuda()
    context = None if context is None else context.cuda()
    z, ladj = flow(x.cuda(), context)
    assert z.is_cuda and ladj.is_cuda


def test_meta_device(case):
    """No tensor is made on a device of the flow's own choosing."""
    flow, x, context = case
    flow = flow.to("meta")
    context = None if context is None else context.to("meta")
    z, ladj = flow(x.to("meta"), context)
    assert z.device.type == ladj.device.type == "meta"


@pytest.mark.parametrize("name", FLOWS)
def test_state_dict(name):
    torch.manual_seed(1)
    saved, x, context = FLOWS[name].draw()
    torch.manual_seed(2)
    loaded = FLOWS[name].build().double()
    loaded.load_state_dict(saved.state_dict())
    torch.testing.assert_close(loaded(x, context), saved(x, context))


def test_gradient_reaches_every_parameter(case):
    flow, x, context = case
    z, ladj = flow(x, context)
    if any(True for _ in flow.parameters()):
        (z.square().sum() + ladj.sum()).backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


class BrokenTail(flows.Flow):
    """A mutant: right on one side of an edge, wrong beyond it."""

    def __init__(self, edge):
        super().__init__()
        self.edge = edge

    def forward(self, x, context=None):
        # a kink of which the log-determinant knows nothing
        z = x - (self.edge - x).clamp(min=0)
        return z, x.new_zeros(x.shape[0])

    def inverse(self, z, context=None):
        return z, z.new_zeros(z.shape[0])


def test_a_broken_tail_is_caught():
    """On data from [0.3, 3.3], as they once were, it would pass."""
    flow = BrokenTail(edge=-2.0)
    middle = 3 * torch.rand(7, 5, dtype=torch.float64) + 0.3
    properties.round_trip(flow, middle, None)
    properties.ladj_is_logdet(flow, middle, None)
    _, x, _ = FLOWS["elementwise"].draw()
    with pytest.raises(AssertionError):
        properties.round_trip(flow, x, None)
    with pytest.raises(AssertionError):
        properties.ladj_is_logdet(flow, x, None)


@pytest.mark.parametrize("base", [flows.StandardNormal, flows.StandardLogistic])
def test_base_integrates_to_one(base, capsys):
    b = base(2)
    # the logistic leaves 4 exp(-40) outside of this box
    box = [(-40.0, 40.0)] * 2
    verify.integral("base", "one", lambda z: b.log_prob(z).exp(), box)


@pytest.mark.parametrize("base", [flows.StandardNormal, flows.StandardLogistic])
def test_base_samples_follow_its_density(base):
    """E[h(z)] by samples equals the integral of h times the density."""
    b = base(1).double()
    z = b.sample(200_000)
    for h in (torch.tanh, torch.cos, lambda z: (z > 1).double()):
        value, _ = verify.grid_integral(
            lambda z, h=h: h(z[:, 0]) * b.log_prob(z).exp(),
            [(-40.0, 40.0)],
            8000,
        )
        verify.expectation("base", "samples", h(z), value)


@pytest.mark.parametrize("base", [flows.StandardNormal, flows.StandardLogistic])
def test_temperature_scales_noise(base):
    """Of the base, and of a model before its flow maps it."""
    b = base(4)
    model = flows.FlowModel(randomize(flows.AffineCoupling(4, (8,))), b)
    torch.manual_seed(1)
    cold = b.sample(10, temperature=0.5)
    torch.manual_seed(1)
    assert torch.equal(cold, 0.5 * b.sample(10))
    torch.manual_seed(1)
    x = model.sample(10, temperature=0.5)
    assert torch.equal(x, model.flow.inverse(cold)[0])


@pytest.mark.parametrize("extreme", [torch.zeros, torch.ones])
def test_logistic_noise_is_finite_where_a_uniform_number_is_not_inside(
    extreme, monkeypatch
):
    """torch.rand returns 0 once in 17 million float32 numbers."""
    monkeypatch.setattr(torch, "rand", extreme)
    assert flows.StandardLogistic(3).sample(2).isfinite().all()


def test_a_random_permutation_is_fixed_by_its_own_seed():
    first, again, other = (
        flows.Permutation.random(20, seed).order for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_model_samples_in_its_dtype(dtype):
    model = flows.realnvp(4, hidden=(8,)).to(dtype)
    assert model.sample(3).dtype == dtype
    x, log_p = model.rsample_and_log_prob(3)
    assert x.dtype == log_p.dtype == dtype


def test_rsample_knows_its_density():
    model = randomize(flows.realnvp(4, hidden=(8,))).double()
    x, log_p = model.rsample_and_log_prob(50)
    torch.testing.assert_close(
        log_p, model.log_prob(x), rtol=1e4 * EPS, atol=1e4 * EPS
    )
    (x.sum() + log_p.sum()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_log_prob_refuses_what_is_wrong():
    model = flows.realnvp(4, hidden=(8,))
    with pytest.raises(ValueError, match=r"\(3, 5\).*4 values"):
        model.log_prob(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="dequantize"):
        model.log_prob(torch.zeros(3, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="float64"):
        model.log_prob(torch.zeros(3, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="context has 2 rows"):
        model.sample(3, context=torch.zeros(2, 1))


def test_layers_refuse_what_is_wrong():
    with pytest.raises(ValueError, match="each of 0"):
        flows.Permutation([0, 2, 2])
    with pytest.raises(ValueError, match="at least 2 columns"):
        flows.AffineCoupling(1)
    for alpha in (-0.01, 0.5):
        with pytest.raises(ValueError, match="alpha"):
            flows.Logit(alpha=alpha)


@pytest.mark.parametrize(
    "make",
    [
        lambda: flows.MAF(3, (4,)),
        lambda: flows.AffineCoupling(4, (8,)),
        lambda: MaskedConv("A", 1, 2, 3, 1, 1),
    ],
)
def test_what_no_file_restores_is_not_built_without_values(make):
    """Module.to_empty would fill masks with whatever is in memory."""
    with torch.device("meta"), pytest.raises(ValueError, match="on the CPU"):
        make()


def test_log_scale_is_bounded():
    """Inputs of any size leave the map finite and invertible."""
    flow = randomize(flows.AffineCoupling(4, (8,)), std=5.0)
    x = torch.randn(100, 4) * 1e4
    z, ladj = flow(x)
    assert z.isfinite().all() and ladj.abs().max() <= 2 * flow.conditional.bound


def test_shapes_of_a_batch_are_kept_apart():
    """Pictures give one value each, an empty batch none."""
    pictures = torch.rand(5, 1, 2, 2)
    model = flows.FlowModel(flows.Logit(), flows.StandardLogistic(4))
    log_p = model.log_prob(pictures)
    assert log_p.shape == (5,)
    assert torch.equal(log_p, model.log_prob(pictures.flatten(1)))
    assert flows.realnvp(4).log_prob(torch.zeros(0, 4)).shape == (0,)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: flows.maf(2, layers=0), "layers = 0"),
        (lambda: flows.maf(2, components=-3), "components = -3"),
        (lambda: flows.maf(2, context=-1), "context = -1"),
        (lambda: flows.maf(2, hidden=(8, 0)), "hidden = 0"),
        (lambda: flows.realnvp(2, layers=-2), "layers = -2"),
        (lambda: flows.realnvp(2, context=-1), "context = -1"),
        (lambda: flows.realnvp(2, hidden=(-3,)), "hidden = -3"),
        (lambda: flows.nice(4, layers=-2), "layers = -2"),
        (lambda: flows.realnvp_pictures(PICTURE, scales=0), "scales = 0"),
        (lambda: flows.realnvp_pictures(PICTURE, couplings=0), "couplings = 0"),
        (lambda: flows.realnvp_pictures(PICTURE, hidden=0), "hidden = 0"),
        (lambda: flows.glow(PICTURE, steps=(2, -2)), "steps = -2"),
        (lambda: flows.glow(PICTURE, steps=()), "steps = 0"),
        (lambda: flows.flowpp(PICTURE, (1, -1, 1)), "couplings = -1"),
        (lambda: flows.flowpp(PICTURE, blocks=0), "blocks = 0"),
        (lambda: flows.flowpp(PICTURE, channels=0), "channels = 0"),
        (lambda: flows.flowpp(PICTURE, heads=-2), "heads = -2"),
    ],
)
def test_sizes_that_make_no_flow_are_refused(make, named):
    with pytest.raises(ValueError, match=f"{named}; expected at least"):
        make()


def test_a_layer_of_another_width_than_its_base_is_refused():
    """One pair for three columns: a density that integrates to 0.135."""
    layer = flows.ElementwiseAffine(1)
    model = flows.FlowModel(layer, flows.StandardNormal(3))
    with pytest.raises(ValueError, match=r"\(2, 3\); this layer .*\(B, 1"):
        model.log_prob(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\); this layer .*\(B, 1"):
        model.sample(2)


@pytest.mark.parametrize("given", [None, 2, 4])
def test_a_coupling_asks_for_its_context(given):
    model = flows.realnvp(4, 2, (8,), context=3)
    context = None if given is None else torch.zeros(5, given)
    with pytest.raises(ValueError, match=f"context {given or 0}; .* and 3"):
        model.log_prob(torch.zeros(5, 4), context)
