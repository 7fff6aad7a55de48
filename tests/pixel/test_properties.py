"""What holds for every model of pictures."""

import pytest
import torch
from support.pixel import MODELS, sight

from dgm_course import verify
from dgm_course.pixel import PixelModel

each = pytest.mark.parametrize("name", MODELS)


@each
def test_a_conditional_sees_what_is_earlier_and_nothing_else(name):
    case = MODELS[name]
    model = case.draw(levels=3)
    seen = sight(model, case.context(6)).flatten(3).flatten(0, 2) > 0
    order = model.order().flatten()
    earlier = order < order[:, None]
    assert not (seen & ~earlier).any()
    assert bool((seen == earlier).all()) != case.blind


@each
@pytest.mark.parametrize("shape", [(1, 2, 4), (2, 2, 2)])
def test_probabilities_of_all_pictures_sum_to_one(name, shape):
    case = MODELS[name]
    model = case.draw(shape, levels=2)
    every = torch.cartesian_prod(*[torch.arange(2)] * 8).view(-1, *shape)
    label = case.context(1)
    if label is not None:
        label = label.expand(len(every))
    log_p = model.log_prob(every, label)
    assert log_p.shape == (len(every),)
    verify.equal("", "sum", log_p.exp().sum(), 1.0, len(every))
    assert log_p.std() > 0.01


@each
def test_samples_without_computing_anything_twice_are_the_same(name):
    case = MODELS[name]
    model = case.draw()
    label = case.context(3)
    found = []
    for cached in (True, False):
        torch.manual_seed(1)
        found.append(model.sample(3, label, cached=cached))
    assert found[0].shape == (3, *case.shape)
    assert found[0].dtype == torch.uint8 and len(found[0].unique()) > 2
    assert torch.equal(*found)


@each
def test_samples_have_the_probabilities_of_the_model(name):
    """All pictures of four bits, counted."""
    case = MODELS[name]
    shape, n = (1, 2, 2), 4000
    model = case.draw(shape, levels=2)
    every = torch.cartesian_prod(*[torch.arange(2)] * 4).view(-1, *shape)
    label = case.context(1)
    rows = None if label is None else label.expand(16)
    p = model.log_prob(every, rows).exp()
    torch.manual_seed(2)
    x = model.sample(n, None if label is None else label.expand(n))
    code = (x.flatten(1).long() * torch.tensor([8, 4, 2, 1])).sum(1)
    counted = torch.bincount(code, minlength=16) / n
    error = (p * (1 - p) / n).sqrt()
    assert ((counted - p).abs() <= 5 * error).all()


@each
def test_completions_keep_what_is_given(name):
    case = MODELS[name]
    model = case.draw()
    label = case.context(2)
    if not torch.equal(model.order(), PixelModel.order(model)):
        pytest.skip("another order than row by row")
    x = torch.randint(5, (2, *case.shape), dtype=torch.uint8)
    found = []
    for cached in (True, False):
        torch.manual_seed(1)
        found.append(model.complete(x, 2, label, cached=cached))
        assert torch.equal(found[-1][:, :, :2], x[:, :, :2])
    assert torch.equal(*found) and not torch.equal(found[0], x)


@each
def test_a_low_temperature_takes_the_likeliest(name):
    case = MODELS[name]
    model = case.draw((1, 2, 2))
    label = case.context(1)
    label = None if label is None else label.expand(20)
    cold = model.sample(20, label, temperature=1e-6)
    assert (cold == cold[:1]).all()
    assert not (model.sample(20, label) == cold).all()


@each
def test_labels_change_samples(name):
    case = MODELS[name]
    model = case.draw()
    if not case.classes:
        with pytest.raises(ValueError, match="takes none"):
            model.sample(2, torch.tensor([0, 1]))
        return
    with pytest.raises(ValueError, match=r"context has shape None"):
        model.sample(2)
    found = []
    for k in (0, 1):
        torch.manual_seed(3)
        found.append(model.sample(4, torch.full((4,), k)))
    assert not torch.equal(*found)


@each
def test_what_is_no_picture_is_refused(name):
    case = MODELS[name]
    model, label = case.draw(), case.context(2)
    with pytest.raises(ValueError, match=r"expected pictures \(B, 2, H, W\)"):
        model.log_prob(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), label)
    with pytest.raises(ValueError, match=r"integers in \{0, ..., 4\}"):
        model.log_prob(torch.full((2, *case.shape), 5), label)
    with pytest.raises(ValueError, match=r"rows = 9; expected 0, ..., 4"):
        x = torch.zeros(2, *case.shape, dtype=torch.uint8)
        model.complete(x, 9, label)


@each
def test_steps_are_counted(name):
    model = MODELS[name].draw()
    order = model.order()
    assert order.shape == model.shape and int(order.min()) == 0
    assert set(order.flatten().tolist()) == set(range(int(order.max()) + 1))
    assert model.evaluations_per_sample == int(order.max()) + 1
