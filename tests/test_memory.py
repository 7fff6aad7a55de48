"""Bytes are counted one by one."""

import torch

from dgm_course.memory import allocated


def test_peak_and_what_is_left():
    def function():
        kept = [torch.zeros(1000), torch.zeros(500, dtype=torch.float64)]
        for _ in range(3):
            gone = torch.zeros(250)
            del gone
        return kept

    assert allocated(function) == (9000, 8000)


def test_what_was_there_before_does_not_count():
    x = torch.zeros(10_000)
    assert allocated(lambda: x.view(100, 100)) == (0, 0)


def test_garbage_of_before_does_not_count():
    def function():
        return [torch.zeros(10) for _ in range(2000)]  # the collector's cue

    for _ in range(50):
        circle = [torch.zeros(1000)]
        circle.append(circle)
    del circle
    assert allocated(function) == (80_000, 80_000)


def test_what_autograd_keeps():
    x = torch.ones(1000, requires_grad=True)
    assert allocated(lambda: x.exp()).left == 4000
    # sin keeps its input too
    assert allocated(lambda: x.exp().sin()).left == 8000
    with torch.no_grad():
        assert allocated(lambda: x.exp().sin()) == (8000, 4000)
