"""Fixtures of all tests: a seed."""

import os

import pytest
import torch

# plain asserts in there report what they compared
pytest.register_assert_rewrite("support")
os.environ.setdefault("DGM_PROFILE", "smoke")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
