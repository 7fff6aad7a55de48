"""Fixtures of all tests: a seed, and a flow that every property covers."""

import os

import pytest
import torch
from support import FLOWS, randomize

os.environ.setdefault("DGM_PROFILE", "smoke")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=FLOWS)
def case(request):
    """A random flow in float64, data in its domain, and a context."""
    flow, width = FLOWS[request.param]()
    x = 3 * torch.rand(7, 5, dtype=torch.float64) + 0.3
    context = torch.randn(7, width, dtype=torch.float64) if width else None
    return randomize(flow).double(), x, context
