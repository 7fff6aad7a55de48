"""Environments in which nothing of the project is installed."""

import os
import venv


def environment(folder):
    """Create an empty environment, and return the folder of its commands."""
    windows = os.name == "nt"
    venv.create(folder, symlinks=not windows, with_pip=True)
    return folder / ("Scripts" if windows else "bin")


def clean():
    """Return the environment's variables, without roads to other packages."""
    foreign = ("PYTHONPATH", "VIRTUAL_ENV", "DGM_PROFILE", "DGM_STATIC")
    kept = {k: v for k, v in os.environ.items() if k not in foreign}
    return {"OMP_NUM_THREADS": "1", **kept, "PYTHONUTF8": "1"}
