"""Students of logistic noise, and their divergence from a teacher."""

import math

import pytest
import torch
from support import randomize
from torch import nn

from dgm_course import flows, verify
from dgm_course.likelihoods import Categorical, DiscretizedLogistics
from dgm_course.wavenet import (
    CausalMAF,
    Distillation,
    Student,
    Teacher,
    WaveNet,
    divergence,
    power_distance,
    spectra,
)

T = 6


def small(outputs, local=2):
    return WaveNet(1, outputs, 4, 3, (1, 2), local=local)


def student(steps=2, std=0.2):
    torch.manual_seed(0)
    model = Student([small(2) for _ in range(steps)], log_scale=-1.0)
    return randomize(model, std).double()


def teacher(std=0.2):
    torch.manual_seed(1)
    likelihood = DiscretizedLogistics(65_536, 3)
    return Teacher(randomize(small(9), std).double(), likelihood)


def given(n):
    return torch.randn(n, 2, 3).double()


def test_a_new_flow_is_the_identity_and_a_new_student_a_scale():
    x = torch.randn(3, T)
    z, ladj = CausalMAF(small(2))(x, given(3).float())
    assert torch.equal(z, x) and not ladj.any()
    model = Student([small(2), small(2)], log_scale=-4.0)
    found = model.conditionals(x, given(3).float())
    verify.equal("", "scale", found.log_scale, -4.0)
    verify.equal("", "x", found.x, x * math.exp(-4.0))


def test_a_student_is_linear_in_its_last_noise():
    """x_t = mean_t + scale_t z_t, both from earlier noise alone."""
    model, local = student(3), given(4)
    z = model.noise(4, T)
    x, mean, s = model.conditionals(z, local)
    verify.equal("", "linear", x, mean + s.exp() * z, 512)
    for t in range(T):
        other = z.clone()
        other[:, t:] = model.noise(4, T - t)
        _, changed_mean, changed_s = model.conditionals(other, local)
        assert torch.equal(changed_mean[:, : t + 1], mean[:, : t + 1])
        assert torch.equal(changed_s[:, : t + 1], s[:, : t + 1])


def test_its_density_is_that_of_the_flow():
    model, local = student(), given(5)
    z = model.noise(5, T)
    x, mean, s = model.conditionals(z, local)
    base = flows.StandardLogistic(T).double()
    density = flows.FlowModel(model.flow, base)
    conditionals = (
        flows.StandardLogistic(1)
        .double()
        .log_prob(((x - mean) * (-s).exp()).view(-1, 1))
        - s.flatten()
    )
    condition = (
        1
        + verify.sensitivity(
            lambda x: model.flow(x, local[:1].expand(len(x), -1, -1))[0], x
        ).max()
    )
    verify.equal(
        "",
        "log p",
        density.log_prob(x, local),
        conditionals.view(5, -1).sum(1),
        4096,
        condition,
    )


def by_hand(model, judge, z, local, noise):
    """Each term by a loop over draws and a pass of the teacher for each."""
    x, mean, s = model.conditionals(z, local)
    cross = 0.0
    for k in range(noise.shape[1]):
        drawn = mean + s.exp() * noise[:, k]
        for t in range(z.shape[1]):
            seen = x.clone()
            seen[:, t] = drawn[:, t]
            at_t = judge.conditionals(seen[:, None], local)[..., t : t + 1]
            y = seen[:, None, t : t + 1]
            cross = cross - judge.likelihood.log_density(y, at_t).sum((1, 2))
    return cross / noise.shape[1], (s + 2).sum(1)


def test_the_terms_are_those_of_a_loop(monkeypatch):
    model, judge, local = student(), teacher(), given(3)
    z, noise = model.noise(3, T), model.noise(6, T).view(3, 2, T)
    monkeypatch.setattr(model, "noise", lambda n, length: noise.view(n, length))
    found = divergence(model, judge, z, local, draws=2)
    cross, entropy = by_hand(model, judge, z, local, noise)
    verify.equal("", "cross", found.cross.sum(1), cross, 4096)
    verify.equal("", "entropy", found.entropy.sum(1), entropy, 512)
    verify.equal("", "KL", found.kl * T, cross - entropy, 4096)


def test_the_mean_is_the_divergence_of_the_densities():
    model, judge = student(), teacher()
    torch.manual_seed(2)
    n = 20_000
    local = given(1).expand(n, -1, -1)
    with torch.no_grad():
        z = model.noise(n, T)
        x, _, s = model.conditionals(z, local)
        ours = (-z - 2 * nn.functional.softplus(-z) - s).sum(1)
        parameters = judge.conditionals(x[:, None], local)
        log_density = judge.likelihood.log_density(x[:, None], parameters)
        direct = ours - log_density.sum((1, 2))
        found = divergence(model, judge, model.noise(n, T), local).kl * T
    both = torch.stack([direct, -found])
    verify.expectation("", "two estimators", both.sum(0), 0.0)


def test_a_student_that_is_its_teacher_is_at_zero():
    """One logistic each, and the same mean: KL = 0 with the mean exact."""
    torch.manual_seed(3)
    constant = Student([small(2)], log_scale=-2.0).double()
    judge = Teacher(small(2).double(), DiscretizedLogistics(65_536, 1))
    nn.init.zeros_(judge.net.exit[-1].weight)
    bound = judge.likelihood.bound
    raw = bound * math.atanh(-2.0 / bound)
    judge.net.exit[-1].bias.data = torch.tensor([0.0, raw]).double()
    found = divergence(constant, judge, constant.noise(3_000, T), None, 1)
    verify.expectation("", "KL", found.kl * T, 0.0)


def test_gradients_reach_the_student_and_stop_at_the_teacher():
    model = Distillation(student(), teacher())
    found = model.divergence(4, T, given(4), context=2)
    assert found.cross.shape == found.entropy.shape == (4, T - 2)
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    found.kl.mean().backward()
    optimizer.step()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(p.grad.any() for p in model.student.parameters())
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any("teacher" in name for name in model.state_dict())


def test_the_gradient_passes_through_what_the_teacher_is_given():
    """KL depends on x through the teacher's own conditionals too."""
    model, judge, local = student(), teacher(), given(2)
    z = model.noise(2, T)
    torch.manual_seed(5)
    found = divergence(model, judge, z, local).kl.sum()
    whole = torch.autograd.grad(found, list(model.parameters()))
    cut = judge.conditionals
    judge.conditionals = lambda y, *a, **k: cut(y.detach(), *a, **k)
    torch.manual_seed(5)
    again = divergence(model, judge, z, local).kl.sum()
    detached = torch.autograd.grad(again, list(model.parameters()))
    verify.equal("", "same value", found, again)
    assert any(not torch.allclose(a, b) for a, b in zip(whole, detached))


def test_probabilities_are_not_compared_with_densities():
    judge = Teacher(small(5).double(), Categorical(5))
    with pytest.raises(TypeError, match=r"Categorical likelihood.*no density"):
        divergence(student(), judge, torch.zeros(1, T).double())


def test_power_of_a_tone_and_of_silence():
    t = torch.arange(1024).double()
    tone = (2 * math.pi * 1000 * t / 8000).cos()[None]
    found = spectra.power(tone)
    assert found.shape == (1, 129, 8)
    # a cosine of amplitude 1 is two constants of 1/2
    inside = found[0, :, 1:-1]
    verify.equal("", "power", inside[32], 0.25, 256)
    assert (inside.argmax(0) == 32).all()
    mel = spectra.log_mel(torch.zeros(2, 256))
    assert mel.shape == (2, 20, 2)
    verify.equal("", "silence", mel, math.log(1e-10))
    with pytest.raises(ValueError, match="a multiple of hop = 128"):
        spectra.power(torch.zeros(1, 100))


def test_mel_bands_cover_the_spectrum():
    bands = spectra.mel_bands(20, 129, torch.zeros(()).double())
    verify.equal("", "each sums to one", bands.sum(1), 1.0, 129)
    centers = (bands * torch.arange(129)).sum(1)
    assert (centers.diff() > 0).all() and (bands >= 0).all()
    assert (bands.sum(0)[1:-1] > 0).all()


def test_power_distance_sees_bands_and_no_phase():
    t = torch.arange(1024).double()
    low, late, high = (
        torch.cos(2 * math.pi * f * t / 8000 + phase)[None]
        for f, phase in ((500, 0.0), (500, 1.0), (2000, 0.0))
    )
    near, far = power_distance(low, late), power_distance(low, high)
    assert not power_distance(low, low).any()
    assert near < 1 < far and near.shape == (1,)
    verify.equal("", "both ways", far, power_distance(high, low))
