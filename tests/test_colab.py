"""The notebooks run beside what Colab preinstalls, and change none of it."""

import os
import subprocess
import tomllib
from importlib.metadata import files, version
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from support.venvs import clean, environment

ROOT = Path(__file__).parents[1]
PINS = Path(__file__).parent / "support" / "colab.txt"
PYTHON, TORCH = "3.13", "2.11.0"
ADDED = {"constriction", "dgm-course"}
NOTEBOOKS = sorted(
    path
    for folder in ("book", "assignments")
    for path in (ROOT / folder).glob("*.ipynb")
    if path.stem != "checks"  # it reads the others, which Colab has not
)
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
"""


def pins():
    lines = PINS.read_text().splitlines()
    given = [Requirement(line) for line in lines if line[0] != "#"]
    found = {pin.name.lower(): next(iter(pin.specifier)) for pin in given}
    return {name: pin.version for name, pin in found.items()}


def test_colab_has_all_that_the_course_requires():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    there = pins() | {"torch": TORCH}
    for line in project["dependencies"]:
        needed = Requirement(line)
        assert needed.specifier.contains(there[needed.name]), line
    python = Requirement(f"python{project['requires-python']}")
    assert python.specifier.contains(PYTHON)


class Colab:
    """A Python with Colab's packages, and a repository that stands for ours.

    torch is the one that runs the tests: Colab's own, built for CUDA, has
    gigabytes.
    """

    def __init__(self, folder):
        self.folder = folder
        self.python = environment(folder / "env") / "python"
        self.environment = self._environment()
        wanted = ["pip==" + pins()["pip"]]
        for words in (wanted, ["--no-deps", "-r", str(PINS)]):
            self.run("-m", "pip", "install", "--quiet", *words)
        self._link_torch()

    def _environment(self):
        """Colab's variables; git finds our last commit behind the URL."""
        here = self.folder / "course.git"
        for words in (["init", "--bare", here], ["push", here, "HEAD:main"]):
            command = ["git", "-C", ROOT, *words]
            subprocess.run(command, check=True, capture_output=True)
        config = yaml.safe_load((ROOT / "_config.yml").read_text())
        return clean() | {
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "DGM_PROFILE": "smoke",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{here}.insteadOf",
            "GIT_CONFIG_VALUE_0": config["repository"]["url"],
        }

    def _link_torch(self):
        there = self.run("-c", "import site; print(*site.getsitepackages())")
        parts = {file.parts[0] for file in files("torch")} - {".."}
        source = Path(find_spec("torch").origin).parents[1]
        for part in parts:
            (Path(there.strip()) / part).symlink_to(source / part)

    def run(self, *words):
        """Run this Python where no course package lies; return its output."""
        done = subprocess.run(
            [self.python, *map(str, words)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout

    def freeze(self):
        """Return name and version of all packages."""
        lines = self.run("-m", "pip", "list", "--format", "freeze").split()
        pairs = [line.lower().split("==") for line in lines]
        return {name.replace("_", "-"): version for name, version in pairs}


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    return Colab(tmp_path_factory.mktemp("colab"))


@pytest.mark.slow
def test_the_environment_is_that_of_the_list(colab):
    wanted = {name.replace("_", "-"): v for name, v in pins().items()}
    assert colab.freeze() == wanted | {"torch": version("torch")}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_changes_nothing(colab, path):
    """From its setup cell on, as Colab opens it."""
    colab.run("-m", "pip", "uninstall", "--quiet", "--yes", *ADDED)
    before = colab.freeze()
    assert not ADDED & set(before)
    colab.run("-c", RUN, path)
    after = colab.freeze()
    assert {name: after.pop(name) for name in ADDED}
    assert after == before


@pytest.mark.slow
def test_what_is_added_exists_for_the_python_of_colab(colab):
    """Resolution alone, for this Python may be another."""
    other = ["--python-version", PYTHON, "--only-binary", ":all:"]
    where = ["--target", colab.folder / "nowhere", "--ignore-installed"]
    words = ["install", "--quiet", "--dry-run", "--no-deps", *where, *other]
    colab.run("-m", "pip", *words, "-r", PINS, "constriction")
    assert not (colab.folder / "nowhere").exists()
