import copy
import math

import pytest
import torch
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
)

from dgm_course import verify
from dgm_course.flows import FlowModel, StandardNormal, maf, realnvp
from dgm_course.training import fit
from dgm_course.vae import (
    AggregatedPosterior,
    Gaussians,
    MixtureOfGaussians,
    VampPrior,
    mlp_vae,
)


def vamp(components=6, shape=(1, 3, 3)):
    model = mlp_vae(2, hidden=(8,), shape=shape)
    start = torch.rand(components, *shape)
    model.prior = VampPrior(model.encoder, model.posterior, start)
    return model


def make(kind):
    torch.manual_seed(1)
    if kind == "VampPrior":
        return vamp().double().prior
    if kind == "flow":
        return realnvp(2, layers=2, hidden=(8,)).double()
    return {
        "normal": StandardNormal(2),
        "mixture": MixtureOfGaussians(2, 7),
        "aggregated": AggregatedPosterior(
            torch.randn(9, 2), torch.randn(9, 2) / 3 - 1
        ),
    }[kind].double()


KINDS = ["normal", "mixture", "VampPrior", "flow", "aggregated"]
MIXTURES = ["mixture", "VampPrior", "aggregated"]


@pytest.mark.parametrize("kind", KINDS)
def test_integrates_to_one(kind):
    prior = make(kind)
    box = [(-12.0, 12.0)] * 2
    verify.integral("", kind, lambda z: prior.log_prob(z).exp(), box)


def test_a_mixture_without_log_k_is_seen():
    prior = make("mixture")

    def mutant(z):
        return 7 * prior.log_prob(z).exp()

    with pytest.raises(verify.CheckFailed):
        verify.integral("", "mutant", mutant, [(-12.0, 12.0)] * 2)


@pytest.mark.parametrize("kind", MIXTURES)
def test_density_is_that_of_torch_distributions(kind):
    prior = make(kind)
    mean, log_std = prior.components()
    oracle = MixtureSameFamily(
        Categorical(mean.new_ones(len(mean))),
        Independent(Normal(mean, log_std.exp()), 1),
    )
    z = 2 * torch.randn(50, 2).double()
    verify.equal("", kind, prior.log_prob(z), oracle.log_prob(z), 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_density(kind):
    """E_p[h / p] = 1 for a density h that is narrower than p."""
    prior = make(kind)
    z = prior.sample(20_000, temperature=1.0)
    centre, scale = z.mean(0), 0.3 * z.std(0)
    h = Independent(Normal(centre, scale), 1)
    with torch.no_grad():
        ratio = (h.log_prob(z) - prior.log_prob(z)).exp()
    verify.expectation("", kind, ratio, 1.0)


@pytest.mark.parametrize("kind", MIXTURES)
def test_temperature_scales_the_components(kind):
    prior = make(kind)
    mean = prior.components()[0]
    z = prior.sample(40, temperature=0.0)
    assert (z[:, None] == mean).all(2).any(1).all()


@pytest.mark.parametrize("kind", MIXTURES)
def test_chunks_change_nothing(kind):
    prior = make(kind)
    z = torch.randn(20, 2).double().requires_grad_()
    whole = prior.log_prob(z)
    slope = torch.autograd.grad(whole.sum(), z)[0]
    prior.memory = 0  # one point at a time
    parts = prior.log_prob(z)
    verify.equal("", kind, parts, whole)
    verify.equal("", kind, torch.autograd.grad(parts.sum(), z)[0], slope)


@pytest.mark.parametrize("kind", MIXTURES)
def test_the_last_chunk_may_be_short(kind, monkeypatch):
    prior, z = make(kind), torch.randn(20, 2).double()
    whole = prior.log_prob(z)
    monkeypatch.setattr(Gaussians, "rows", lambda self, memory: 8)
    verify.equal("", kind, prior.log_prob(z), whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_shape_and_state_dict(kind, dtype):
    prior = make(kind).to(dtype)
    if kind == "VampPrior":  # its encoder is not its own
        for module in prior._encode:
            module.to(dtype)
    z = prior.sample(5, temperature=1.0)
    assert z.shape == (5, 2) and z.dtype == dtype
    log_p = prior.log_prob(z)
    assert log_p.shape == (5,) and log_p.dtype == dtype
    other = copy.deepcopy(prior)
    other.load_state_dict(prior.state_dict())
    assert torch.equal(other.log_prob(z), log_p)


def reach(model, z):
    """The gradient that log p(z) sends to the pseudo-inputs."""
    model.zero_grad()
    log_p = model.prior.log_prob(z).sum()
    if not log_p.requires_grad:
        return None
    log_p.backward()
    return model.prior.logits.grad


def test_gradients_reach_every_pseudo_input_and_the_encoder():
    torch.manual_seed(0)
    model, z = vamp(), torch.randn(8, 2)
    slope = reach(model, z)
    assert (slope.flatten(1).abs().amax(1) > 0).all()
    weight = model.encoder[1][0].weight.grad
    assert weight is not None and weight.abs().max() > 0


def test_detached_pseudo_inputs_are_seen(monkeypatch):
    torch.manual_seed(0)
    model, z = vamp(), torch.randn(8, 2)
    monkeypatch.setattr(
        VampPrior,
        "pseudo_inputs",
        property(lambda self: torch.sigmoid(self.logits).detach()),
    )
    assert reach(model, z) is None


def test_pseudo_inputs_stay_in_range_where_training_drives_them():
    model = vamp()
    with torch.no_grad():
        model.prior.logits.mul_(1e4)
    inputs = model.prior.pseudo_inputs
    assert inputs.min() >= 0 and inputs.max() <= 1


@pytest.mark.parametrize("low, high", [(0.0, 1.01), (-0.01, 1.0)])
def test_pseudo_inputs_must_start_in_range(low, high):
    model = vamp()
    start = torch.stack([torch.full((1, 3, 3), v) for v in (low, high)])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        VampPrior(model.encoder, model.posterior, start)


def test_start_is_where_the_pseudo_inputs_start():
    model = mlp_vae(2, hidden=(8,), shape=(1, 3, 3))
    start = torch.randint(0, 2, (4, 1, 3, 3), dtype=torch.uint8)
    prior = VampPrior(model.encoder, model.posterior, start)
    assert ((prior.pseudo_inputs - start).abs() < 0.021).all()
    # not quite: at 0 and 1 a sigmoid has no slope to leave from
    (slope,) = torch.autograd.grad(prior.pseudo_inputs.sum(), prior.logits)
    assert (slope > 0.01).all()


def test_the_encoder_is_stored_once():
    model = vamp()
    keys = [key for key in model.state_dict() if key.startswith("prior.")]
    assert keys == ["prior.logits"]


def test_a_copy_uses_the_copied_encoder():
    """As in the exponential moving average of fit, which copies a model."""
    model, z = vamp(), torch.zeros(1, 2)
    twin = copy.deepcopy(model)
    before = twin.prior.log_prob(z)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert torch.equal(twin.prior.log_prob(z), before)
    x = torch.randint(0, 2, (20, 1, 3, 3), dtype=torch.uint8)
    fit(model, x, steps=3, ema=0.5, device="cpu", progress=False)


def test_any_flow_model_is_a_prior():
    prior = make("flow")
    assert isinstance(prior, FlowModel)
    model = mlp_vae(2, prior, hidden=(8,), shape=(1, 3, 3)).double()
    x = torch.randint(0, 2, (5, 1, 3, 3), dtype=torch.uint8)
    model.elbo(x).sum().backward()
    assert all(p.grad is not None for p in prior.parameters())
    assert model.sample(3, temperature=0.5).shape == (3, 1, 3, 3)


def test_a_mixture_starts_with_the_scale_that_was_asked_for():
    for std in (1e-3 * 1.01, 0.5, 30.0):
        prior = MixtureOfGaussians(2, 3, std=std)
        log_std = prior.components()[1]
        # e^s turns an absolute error of s into a relative one
        verify.equal("", "", log_std, math.log(std), roundings=256)
    for wrong in (1e-4, math.nan, 2000.0):
        with pytest.raises(ValueError, match=f"std = {wrong}; expected"):
            MixtureOfGaussians(2, 3, std=wrong)


def test_a_prior_of_another_width_than_the_posterior_is_refused():
    for prior in (StandardNormal(2), maf(2, 1, (8,))):
        with pytest.raises(ValueError, match="2 dimensions, the posterior 10"):
            mlp_vae(10, prior)
