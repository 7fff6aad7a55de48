"""What the recipes of classifiers do to pictures and to answers."""

import torch

from dgm_course import zoo
from dgm_course.zoo.recipes import reversible
from dgm_course.zoo.recipes.reversible import augmented_loss, scaled


class Looks(torch.nn.Module):
    """Keeps the pictures that it is shown."""

    def forward(self, x):
        self.seen = x
        return torch.zeros(len(x), 10)


def test_pictures_are_shifted_and_mirrored():
    pixels = torch.zeros(2000, 3, 12, 12, dtype=torch.uint8)
    pixels[:, :, 5, 5], pixels[:, :, 5, 6] = 100, 200  # an arrow to the right
    model, labels = Looks(), torch.zeros(2000).long()
    torch.manual_seed(0)
    values = augmented_loss(model, (pixels, labels), 0)
    torch.testing.assert_close(values, torch.full((2000,), 10.0).log())
    seen = ((model.seen + 1) * 127.5).round()
    assert (seen.sum((1, 2, 3)) == 900).all()  # nothing is lost or doubled
    assert (seen == seen[:, :1]).all()
    tail, head = (
        (seen[:, 0] == v).flatten(1).int().argmax(1) for v in (1e2, 2e2)
    )
    rows, columns, points = head // 12, head % 12, (head - tail).tolist()
    assert set(points) == {1, -1}
    assert 900 < sum(p == 1 for p in points) < 1100
    assert set(rows.tolist()) == set(range(1, 10))
    right = torch.tensor(points) == 1
    assert set(columns[right].tolist()) == set(range(2, 11))
    assert set(columns[~right].tolist()) == set(range(1, 10))


class First(torch.nn.Module):
    """Sure of the first class, whatever it is shown."""

    def forward(self, x):
        return 9.0 * torch.eye(10)[torch.zeros(len(x)).long()]


def test_errors_are_counted_in_percent():
    found = reversible.judge(
        reversible.data.fashion_mnist, "test", False, "", First()
    )
    # the bundled test pictures hold each class equally often
    assert found["error, test"].mean == 90.0
    assert found["error, test"].unit == "%"
    assert scaled(torch.tensor([0, 255])).tolist() == [-1.0, 1.0]


def test_two_models_are_compared_picture_by_picture():
    clothes, rival = reversible.data.fashion_mnist, "fashion_resnet"
    name = f"error less that of {rival}, test"
    alike = reversible.judge(clothes, "test", False, rival, zoo.load(rival))
    assert (alike[name].mean, alike[name].se) == (0.0, 0.0)
    worse = reversible.judge(clothes, "test", False, rival, First())
    pixels, labels = clothes("test", full=False)
    wrong = [
        reversible.scores(model.eval(), pixels, labels)["error"]
        for model in (First(), zoo.load(rival))
    ]
    apart = (wrong[0] - wrong[1]).double()
    assert abs(worse[name].mean - apart.mean()) < 1e-6
    assert abs(worse[name].se - apart.std() / len(apart) ** 0.5) < 1e-6
    assert worse[name].n == len(apart) == 1000
