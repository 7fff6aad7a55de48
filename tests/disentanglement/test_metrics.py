import math

import pytest
import torch

from dgm_course import disentanglement as dis
from dgm_course.data import sprites

WORLD = sprites.world(
    scale=range(3), orientation=[0, 1, 2], x=range(0, 32, 8), y=range(0, 32, 8)
)
CODES = {
    name: getattr(dis, name)(WORLD)
    for name in ("ideal", "permuted", "rotated", "unrelated")
}


@pytest.fixture(scope="module")
def scores():
    return {
        name: dis.all_scores(codes, WORLD, range(2))
        for name, codes in CODES.items()
    }


def test_an_ideal_code_has_all_points(scores):
    for name, values in scores["ideal"].items():
        assert values.shape == (2,)
        # trees predict the middle of a leaf with several levels
        least = 0.99 if name == "informativeness" else 1 - 1e-9
        assert (values >= least).all() and (values <= 1 + 1e-6).all(), name


def test_order_and_sign_of_the_units_do_not_matter(scores):
    for name, values in scores["permuted"].items():
        torch.testing.assert_close(
            values, scores["ideal"][name], atol=0.01, rtol=0
        )


def test_an_unrelated_code_is_at_chance(scores):
    found = {k: v.mean().item() for k, v in scores["unrelated"].items()}
    # 1/5, but for chance correlations in a table of 432 rows
    for name in ("beta-VAE score", "FactorVAE score"):
        assert 0.1 < found[name] < 0.4
    assert found["informativeness"] < 0.05
    for name in ("MIG", "disentanglement", "completeness"):
        assert found[name] < 0.15


def test_a_rotation_keeps_the_information_and_loses_the_rest(scores):
    turned = {k: v.mean().item() for k, v in scores["rotated"].items()}
    for name in ("MIG", "disentanglement", "completeness"):
        assert turned[name] < 0.6
    assert turned["informativeness"] > 0.7
    # the classifier of the beta-VAE score is not fooled by a rotation
    assert turned["beta-VAE score"] > 0.8


def test_a_deterministic_unit_knows_the_entropy_of_its_factor():
    information = dis.mutual_information(CODES["ideal"], WORLD)
    entropy = dis.factor_entropy(WORLD)
    levels = torch.tensor([3, 3, 3, 4, 4], dtype=torch.float64)
    torch.testing.assert_close(entropy, levels.log())
    torch.testing.assert_close(information, entropy.diag(), atol=1e-12, rtol=0)


def test_information_of_a_table_done_by_hand():
    codes = torch.tensor([[0.0], [0.0], [0.0], [9.0]])
    factors = torch.tensor([[0], [0], [1], [1]])
    joint = {(0, 0): 0.5, (0, 1): 0.25, (1, 1): 0.25}
    z, v = {0: 0.75, 1: 0.25}, {0: 0.5, 1: 0.5}
    expected = sum(
        p * math.log(p / (z[a] * v[b])) for (a, b), p in joint.items()
    )
    found = dis.mutual_information(codes, factors)
    assert found.item() == pytest.approx(expected, abs=1e-12)
    two = torch.cat([codes, torch.tensor([[0.0], [9.0], [0.0], [9.0]])], 1)
    gap = dis.mig_gaps(two, factors).item()
    assert gap == pytest.approx(expected / math.log(2), abs=1e-12)


def test_the_bias_of_the_information_is_that_of_its_table():
    """Miller's formula, for bins that are all filled."""
    draw = torch.Generator().manual_seed(0)
    n, found = 2000, []
    for _ in range(200):
        code = torch.randint(10, (n, 1), generator=draw).double()
        factor = torch.randint(6, (n, 1), generator=draw)
        found.append(dis.mutual_information(code, factor, 10).item())
    found = torch.tensor(found)
    bias = 9 * 5 / (2 * n)
    assert (found > 0).all()
    assert abs(found.mean() - bias) < 5 * found.std() / math.sqrt(200)


def test_a_dead_unit_stands_for_nothing():
    """Its mean moves by a thousandth, but would tell the scale."""
    faint = 1e-3 * CODES["ideal"][:, 1:2]
    codes = torch.cat([CODES["ideal"][:, [0, 2, 3, 4]], faint], 1)
    assert dis.alive(codes).tolist() == [True] * 4 + [False]
    information = dis.mutual_information(codes, WORLD)
    assert information[4].eq(0).all()
    assert dis.mig_gaps(codes, WORLD)[1] == pytest.approx(0, abs=1e-12)
    assert dis.dci(codes, WORLD).importances[4].sum() == 0
    # four of five factors have a unit; nothing names the fifth
    assert dis.factor_vae_score(codes, WORLD) < 0.9


def test_a_code_of_dead_units_scores_nothing():
    codes = 0 * CODES["ideal"]
    assert dis.mig(codes, WORLD) == 0
    found = dis.dci(codes, WORLD)
    assert found.disentanglement == found.completeness == 0
    assert dis.factor_vae_score(codes, WORLD) == pytest.approx(0.2)
    assert dis.beta_vae_score(codes, WORLD) <= 0.25


def test_concentration_of_importances():
    table = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(
        dis.concentration(table, 1), torch.tensor([1.0, 0.0, 0.0])
    )
    first = 1 - math.log(2) / math.log(3)
    torch.testing.assert_close(
        dis.concentration(table, 0), torch.tensor([first, 1.0])
    )


def test_two_units_for_one_factor_are_disentangled_but_not_complete():
    x = CODES["ideal"][:, :1]
    noise = torch.randn(
        len(x), 2, generator=torch.Generator().manual_seed(0)
    ).double()
    codes, factors = torch.cat([x + noise, CODES["ideal"][:, 4:]], 1), WORLD
    found = dis.dci(codes, factors[:, [0, 4]])
    assert found.completeness < found.disentanglement - 0.1


def test_the_seed_fixes_the_score():
    for score in (dis.beta_vae_score, dis.factor_vae_score):
        first, again, other = (
            score(CODES["rotated"], WORLD, seed) for seed in (0, 0, 1)
        )
        assert first == again != other


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: dis.mig(torch.zeros(3), WORLD), r"codes have shape \(3,\)"),
        (lambda: dis.mig(CODES["ideal"][:5], WORLD), r"\(5, 5\)"),
        (lambda: dis.mig(CODES["ideal"][:, :1], WORLD), "two or more"),
        (lambda: dis.mig(CODES["ideal"] / 0, WORLD), "not finite"),
        (
            lambda: dis.mig(CODES["ideal"], WORLD.double()),
            "expected integers",
        ),
        (
            lambda: dis.mig(CODES["ideal"], 0 * WORLD),
            r"columns .* one level only",
        ),
        (
            lambda: dis.mutual_information(CODES["ideal"], WORLD, 1),
            "bins = 1; expected at least 2",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
