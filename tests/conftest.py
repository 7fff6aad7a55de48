"""Fixtures of all tests: a seed, and a Ctrl-C that arrives."""

import os
import signal

import pytest
import torch

# plain asserts in there report what they compared
pytest.register_assert_rewrite("support")
os.environ.setdefault("DGM_PROFILE", "smoke")
# a shell ignores Ctrl-C for what it starts in the background; tests send it
signal.signal(signal.SIGINT, signal.default_int_handler)
# commands, which a search for doctests would import
collect_ignore = ["environments.py", "links.py", "random_mutants.py"]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
