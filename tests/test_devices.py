"""Every model trains on an accelerator that is not there, without waiting."""

import inspect

import pytest
import torch
from support.cases import FLOWS, ONE_WAY, dequantizer, two_levels
from support.pixel import MODELS as PICTURES
from support.pretend import DEVICE, gpu, like, move
from torch import nn

from dgm_course import (
    checkpoint,
    dequantization,
    flows,
    likelihoods,
    pixel,
    vae,
    wavenet,
    zoo,
)
from dgm_course import nn as networks
from dgm_course.batches import as_rows, take
from dgm_course.training import default_loss, evaluate, fit


def pixels(*shape):
    return torch.zeros(*shape, dtype=torch.uint8)


def negative(method):
    """The loss that goes with a method of a model."""
    return lambda model, x: -getattr(model, method)(x)


def of_flow(flow, x, context=None):
    """Forward and back: the negative log-density, and a reconstruction."""
    z, ladj = flow(x, context)
    back, _ = flow.inverse(z.detach(), context)
    return z.flatten(1).square().sum(1) - ladj + back.flatten(1).sum(1)


def of_noise(flow, z, context=None):
    """Noise to data: the negative log-density of what comes out."""
    x, ladj = flow.inverse(z, context)
    return x.square().sum(1) + ladj


def vamp():
    model = vae.mlp_vae(2, shape=(1, 4, 4), hidden=(8,))
    start = torch.rand(5, 1, 4, 4)
    model.prior = vae.VampPrior(model.encoder, model.posterior, start)
    return model


def aggregated():
    codes = torch.zeros(5, 2), torch.zeros(5, 2)
    prior = vae.AggregatedPosterior(*codes)
    return vae.mlp_vae(2, prior, shape=(1, 4, 4), hidden=(8,))


def dequantized():
    return dequantization.Dequantized(flows.realnvp(4, 2, (8,)))


def variational():
    """Noise of pictures; the picture is its own context."""
    noise = flows.FlowModel(dequantizer(), flows.StandardNormal(32))
    density = flows.FlowModel(two_levels(), flows.StandardNormal(32))
    encoder = nn.Conv2d(2, 3, 1)
    return dequantization.Dequantized(
        density, dequantization.Variational(noise, encoder)
    )


class Pixels(nn.Module):
    """Every picture has the same parameters."""

    def __init__(self, likelihood):
        super().__init__()
        self.likelihood = likelihood
        self.shared = nn.Parameter(torch.zeros(likelihood.outputs, 2, 2))

    def log_prob(self, x):
        shared = self.shared.expand(len(x), -1, -1, -1)
        return self.likelihood.log_prob(x, shared)

    def sample(self, n):
        return self.likelihood.sample(self.shared.expand(n, -1, -1, -1))


# name -> (model, data, loss): what recipes and flows do not cover
MODELS = {
    "MADE": (
        lambda: networks.MADE(5, (8, 8), 2, context=3),
        (torch.zeros(6, 5), torch.zeros(6, 3)),
        lambda m, x, c: m(x, c).square().sum((0, 2)),
    ),
    "logistic base": (
        lambda: flows.nice(4, 2, (8,)),
        (torch.zeros(6, 4),),
        negative("log_prob"),
    ),
    "reverse KL": (
        lambda: flows.realnvp(4, 2, (8,)),
        (torch.zeros(6, 4),),
        lambda m, x: m.rsample_and_log_prob(len(x))[1],
    ),
    "dequantized, many samples": (
        dequantized,
        (pixels(6, 4),),
        lambda m, x: -m.iw_bound(x, 3),
    ),
    "variational noise": (
        variational,
        (pixels(6, 2, 4, 4),),
        negative("elbo"),
    ),
    "VAE, many samples": (
        lambda: vae.mlp_vae(2, shape=(1, 4, 4), hidden=(8,)),
        (pixels(6, 1, 4, 4),),
        lambda m, x: -m.iw_bound(x, 5, chunk=2),
    ),
    "VAE, variations of the ELBO": (
        lambda: vae.mlp_vae(2, shape=(1, 4, 4), hidden=(8,)),
        (pixels(6, 1, 4, 4),),
        lambda m, x: vae.Objective(2.0, 10, 0.1, vae.binarize)(m, x, 3),
    ),
    "VampPrior": (vamp, (pixels(6, 1, 4, 4),), negative("elbo")),
    "q(z) as a prior": (aggregated, (pixels(6, 1, 4, 4),), negative("elbo")),
    "mixture of Gaussians": (
        lambda: vae.MixtureOfGaussians(3, 7),
        (torch.zeros(6, 3),),
        negative("log_prob"),
    ),
}
MODELS |= {
    f"likelihood: {type(one).__name__}": (
        lambda one=one: Pixels(one),
        (pixels(6, 1, 2, 2),),
        negative("log_prob"),
    )
    for one in (
        likelihoods.Categorical(),
        likelihoods.DiscretizedLogistics(65_536, 2),
    )
}
MODELS |= {
    f"flow: {name}": (case.build, (case,), of_flow)
    for name, case in FLOWS.items()
}
MODELS |= {
    f"flow: {name}": (case.build, (case,), of_noise)
    for name, case in ONE_WAY.items()
}
MODELS |= {
    f"pictures: {name}": (
        lambda case=case: case.build(case.shape, 4),
        (pixels(6, *case.shape), case.context(6)),
        lambda m, x, c: -m.log_prob(x, c),
    )
    for name, case in PICTURES.items()
}


def step(model, loss):
    """One update of Adam."""
    optimizer = torch.optim.Adam(model.parameters())
    loss.mean().backward()
    optimizer.step()


@pytest.mark.parametrize("name", zoo.names())
def test_a_recipe_trains_on_one_device_without_waiting(name):
    recipe = zoo.recipe(name)
    try:
        model, data = recipe.build(), recipe.data()
    except FileNotFoundError as error:  # of what the package cannot bundle
        pytest.skip(str(error))
    rows = tuple(part[:20] for part in as_rows(data, "cpu"))
    with gpu() as waits:
        model, rows = move(model), tuple(map(like, rows))
        loss = (recipe.loss or default_loss)(model, take(rows, slice(0, 20)), 0)
        assert loss.shape == (20,) and loss.device == DEVICE
        step(model, loss)
        assert waits.seen == []


@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_on_one_device(name):
    build, data, loss_of = MODELS[name]
    model = build()
    if name.startswith("flow"):
        _, *data = data[0].draw(6)
        data = [None if x is None else x.float() for x in data]
    with gpu():
        move(model)
        data = [None if x is None else like(x) for x in data]
        loss = loss_of(model, *data)
        assert loss.shape == (6,) and loss.device == DEVICE
        if any(p.requires_grad for p in model.parameters()):
            step(model, loss)
        if hasattr(model, "sample"):
            known = [rows[:3] for rows in data[1:] if rows is not None]
            assert model.sample(3, *known).device == DEVICE


def public_classes():
    rooms = networks, flows, dequantization, likelihoods, pixel, vae, wavenet
    for room in rooms:
        for name, thing in vars(room).items():
            if inspect.isclass(thing) and issubclass(thing, nn.Module):
                own = thing.__module__.startswith("dgm_course")
                if own and not inspect.isabstract(thing) and name[0] != "_":
                    yield thing


def test_no_public_model_is_forgotten():
    builders = [build for build, *_ in MODELS.values()]
    builders += [recipe.build for recipe in zoo.all_recipes().values()]
    covered = {type(part) for b in builders for part in b().modules()}
    missing = set(public_classes()) - covered
    assert not missing, f"give MODELS a case with {missing}"


def affine():
    return flows.FlowModel(flows.ElementwiseAffine(3), flows.StandardNormal(3))


def left_behind(model, x):
    """A loss that creates a tensor where no device is named: on the CPU."""
    return torch.ones(len(x)) - model.log_prob(x)


def impatient(model, x):
    """A loss that wants to know a value."""
    loss = -model.log_prob(x)
    return loss / loss.detach().abs().max().item()


def test_a_tensor_left_on_the_cpu_is_refused():
    model = affine()
    with gpu(), pytest.raises(RuntimeError, match="at least two devices"):
        left_behind(move(model), like(torch.zeros(6, 3)))


def look(x):
    return x.sum().item()


@pytest.mark.parametrize(
    "wait",
    [
        look,
        lambda x: bool(x.sum() > 0),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x + torch.zeros(3).to(x.device),
        lambda x: x.copy_(torch.zeros(3)),
        lambda x: torch.equal(x, x),
    ],
)
def test_each_wait_is_counted(wait):
    with gpu() as waits:
        x = like(torch.zeros(3))
        assert waits.seen == []
        wait(x)
        assert waits.seen


def test_a_value_read_in_a_loss_is_counted(monkeypatch):
    """With the CPU's check of its input, a MADE would wait."""
    model, x = flows.maf(3, 2, (8,)), torch.zeros(6, 3)
    with gpu() as waits:
        move(model).log_prob(like(x))
        assert waits.seen == []
        monkeypatch.setattr(networks.made, "in_sight", lambda x: True)
        model.log_prob(like(x))
        assert len(waits.seen) == 2
        monkeypatch.undo()
        impatient(model, like(x))
        assert len(waits.seen) == 3


def waits_of_fit(loss, steps, **options):
    """Run some steps of fit and return in whose course it waited."""
    model, x, marks = affine(), torch.zeros(24, 3), []

    def noting(model, batch, step):
        marks.append(len(waits.seen))
        if step == 14:
            raise InterruptedError
        return loss(model, batch)

    with gpu() as waits, pytest.raises(InterruptedError):
        move(model)
        fit(
            model,
            like(x),
            noting,
            steps=steps,
            batch_size=8,
            device=str(DEVICE),
            progress=False,
            **options,
        )
    return [s for s, (a, b) in enumerate(zip(marks, marks[1:])) if b > a]


@pytest.mark.filterwarnings("ignore:Accessing the data pointer")
@pytest.mark.parametrize("fused, ema", [(True, 0.9), (False, None)])
def test_fit_waits_at_points_of_its_curve_alone(fused, ema, monkeypatch):
    """Over several epochs; 500 steps have 100 points."""
    if fused:
        monkeypatch.setattr(checkpoint, "FUSED", ("gpu",))
    loss = negative("log_prob")
    found = waits_of_fit(loss, steps=500, ema=ema, clip=1.0, cosine=True)
    assert found == [4, 9]


def test_a_value_read_in_a_loss_makes_fit_wait_in_each_step():
    assert waits_of_fit(impatient, steps=500) == [*range(14)]


def test_evaluation_waits_once():
    model, x = affine(), torch.zeros(24, 3)
    with gpu() as waits:
        evaluate(move(model), like(x), batch_size=4)
        assert len(waits.seen) == 2  # the sum, and that of the squares


def test_what_a_cpu_refuses_is_nan_on_an_accelerator(monkeypatch):
    """So that fit refuses it, a little later; nothing is wrong in silence."""
    bits = likelihoods.Bernoulli()
    x, logits = torch.tensor([[0, 1], [0, 2], [-1, 1]]), torch.ones(3, 2)
    made = networks.MADE(2, (4,))
    y = torch.tensor([[0.0, 0.0], [float("nan"), 0.0]])
    with pytest.raises(ValueError, match="binarize them first"):
        bits.log_prob(x, logits)
    with pytest.raises(ValueError, match="expected finite values"):
        made(y)
    monkeypatch.setattr(likelihoods.base, "in_sight", lambda x: False)
    monkeypatch.setattr(networks.made, "in_sight", lambda x: False)
    log_p = bits.log_prob(x, logits)
    assert log_p.isnan().tolist() == [False, True, True]
    monkeypatch.undo()
    assert torch.equal(log_p[:1], bits.log_prob(x[:1], logits[:1]))
    monkeypatch.setattr(networks.made, "in_sight", lambda x: False)
    assert made(y).isfinite().all(2).tolist() == [[True, False]]
