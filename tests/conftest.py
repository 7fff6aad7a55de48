"""Fixtures of all tests: a seed."""

import os

import pytest
import torch

# plain asserts in there report what they compared
pytest.register_assert_rewrite("support")
os.environ.setdefault("DGM_PROFILE", "smoke")
# commands, which a search for doctests would import
collect_ignore = ["environments.py", "links.py", "random_mutants.py"]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
