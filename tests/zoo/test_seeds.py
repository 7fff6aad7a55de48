"""What a recipe's seed fixes, what is judged, what the command passes on."""

import dataclasses

import pytest
import torch
from support.runs import CPU

from dgm_course import flows, zoo
from dgm_course.cli import main
from dgm_course.training import fit

NAME = "magic_gaussian"


@pytest.fixture
def recipe(monkeypatch):
    """One with random weights, random rows and a random loss."""
    monkeypatch.setenv("DGM_PROFILE", "smoke")
    rows = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    small = dataclasses.replace(
        zoo.recipe(NAME),
        build=lambda: flows.maf(3, 1, (8,)),
        data=lambda: rows,
        loss=lambda m, x, step: -m.log_prob(x + 0.1 * torch.randn_like(x)),
        steps={"smoke": 3},
        options={"batch_size": 8},
        evaluate=None,
    )
    monkeypatch.setitem(zoo.all_recipes(), NAME, small)
    return small


def test_the_seed_fixes_weights_rows_and_noise(recipe, tmp_path):
    """Whatever was drawn before."""
    torch.manual_seed(7)
    expected = recipe.build()
    fit(
        expected,
        recipe.data(),
        recipe.loss,
        steps=3,
        batch_size=8,
        seed=7,
        **CPU,
    )
    torch.manual_seed(99)
    zoo.train(recipe, tmp_path, seed=7, **CPU)
    found = zoo.load(NAME, tmp_path).state_dict()
    for key, value in expected.state_dict().items():
        assert torch.equal(found[key], value.half().float()), key


def test_what_is_judged_is_what_is_stored(recipe, tmp_path):
    judged = []

    def evaluate(model):
        judged.append({k: v.clone() for k, v in model.state_dict().items()})
        return {}

    watched = dataclasses.replace(recipe, evaluate=evaluate)
    zoo.train(watched, tmp_path, seed=1, **CPU)
    stored = zoo.load(NAME, tmp_path).state_dict()
    assert all(torch.equal(judged[0][k], v) for k, v in stored.items())


def test_names_of_one_chapter():
    chapters = {recipe.chapter for recipe in zoo.all_recipes().values()}
    for chapter in chapters:
        found = {zoo.recipe(name).chapter for name in zoo.names(chapter)}
        assert found == {chapter}


@pytest.mark.parametrize(
    "stopped, status",
    [("finished", 0), ("out of time", 0), ("interrupted", 130)],
)
def test_the_command_passes_its_options_on(
    recipe, tmp_path, monkeypatch, stopped, status
):
    given, train = [], zoo.train

    def record(recipe, out, **options):
        given.append(dict(options))
        options |= {"resume": False, "progress": False}
        return dataclasses.replace(
            train(recipe, out, **options), stopped=stopped
        )

    monkeypatch.setattr(zoo, "train", record)
    words = ["train", NAME, "--out", str(tmp_path), "--device", "cpu"]
    assert main([*words, "--minutes", "3", "--resume", "--seed", "5"]) == status
    assert given == [
        {"minutes": 3.0, "resume": True, "device": "cpu", "seed": 5}
    ]
