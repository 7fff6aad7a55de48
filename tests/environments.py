"""Test the package where nothing else of the project is installed.

    python tests/environments.py lowest [-- tests/flows tests/test_training.py]
    python tests/environments.py wheel
    python tests/environments.py sdist

``lowest`` installs the lowest version of each package that pyproject.toml
allows, and runs the tests of the library and all notebooks, or what is named
behind ``--``. ``wheel`` and ``sdist`` build the package, install it beside
nbval alone, with the versions of requirements.txt, and run the command line, a
model of the zoo and a chapter in an empty folder; ``sdist`` also runs tests of
its own. Everything happens in a folder that is removed, with the files of the
last commit. pip takes its packages from where it is told to: without a GPU,
``PIP_FIND_LINKS`` or ``PIP_EXTRA_INDEX_URL`` with CPU builds of torch saves
gigabytes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from pathlib import Path

from support.venvs import clean, environment

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = "04_autoregressive_flows.ipynb"
UNIT = ["-m", "not slow and not browser", "tests"]
MODEL = """
from dgm_course import data, zoo
model = zoo.load("magic_maf")
print("nats:", -model.log_prob(data.magic().test[:100]).mean().item())
"""


def run(*words: str | Path, cwd: Path, **env: str) -> None:
    """Run a command of an environment, and stop where it fails."""
    command = list(map(str, words))
    print("+", Path(command[0]).name, *command[1:], flush=True)
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**clean(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(f"  {time.perf_counter() - start:.0f} s", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nit ended with status {done.returncode}")
    print("  " + "\n  ".join(done.stdout.splitlines()[-2:]), flush=True)


def committed(folder: Path) -> Path:
    """Copy the files of the last commit."""
    archive = folder.with_suffix(".tar")
    git = ["git", "archive", "--output", str(archive), "HEAD"]
    subprocess.run(git, cwd=ROOT, check=True)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder


def lowest_versions(project: dict) -> list[str]:
    """Return a constraint ``name==version`` for each lower bound."""
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(x for extra in extras for x in extra)]
    bounds = dict(re.match(r"([\w-]+)>=([\d.]+)", x).groups() for x in lines)
    return [f"{name}=={version}" for name, version in bounds.items()]


def lowest(top: Path, tests: list[str]) -> None:
    """Test the lower bounds of pyproject.toml."""
    source, bin = committed(top / "source"), environment(top / "environment")
    text = (source / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    pins = top / "lowest.txt"
    pins.write_text("\n".join(lowest_versions(project)) + "\n")
    extras = ",".join(project["optional-dependencies"])
    install = ["install", "--quiet", "--constraint", pins]
    run(bin / "pip", *install, "--editable", f".[{extras}]", cwd=source)
    quiet = [bin / "python", "-m", "pytest", "--quiet"]
    units = [name for name in tests if not name.endswith(".ipynb")]
    notebooks = [name for name in tests if name.endswith(".ipynb")]
    if not tests:
        units = UNIT
        notebooks = sorted(map(str, source.glob("book/*.ipynb")))
    if units:
        run(*quiet, *units, cwd=source)
    if notebooks:
        nbval = ["--nbval-lax", "--nbval-cell-timeout", "300"]
        run(*quiet, *nbval, *notebooks, cwd=source, DGM_PROFILE="smoke")


def built(top: Path, kind: str) -> None:
    """Build a wheel or an sdist, install it and use it in an empty folder."""
    source, empty = committed(top / "source"), top / "empty"
    empty.mkdir()
    builder = environment(top / "builder")
    run(builder / "pip", "install", "--quiet", "build", cwd=empty)
    out = top / "dist"
    build = ["-m", "build", f"--{kind}", "--outdir", out, source]
    run(builder / "python", *build, cwd=empty)
    (package,) = out.iterdir()
    print(f"  {package.name}: {package.stat().st_size / 1e6:.1f} MB")
    bin = environment(top / "environment")
    pins = ["--constraint", source / "requirements.txt"]
    install = [bin / "pip", "install", "--quiet", *pins]
    run(*install, package, "nbval", cwd=empty)
    run(bin / "dgm", "--help", cwd=empty)
    run(bin / "python", "-c", MODEL, cwd=empty)
    (empty / CHAPTER).write_bytes((source / "book" / CHAPTER).read_bytes())
    test = [bin / "python", "-m", "pytest", "--quiet"]
    run(*test, "--nbval-lax", CHAPTER, cwd=empty, DGM_PROFILE="smoke")
    if kind == "sdist":
        with tarfile.open(package) as files:
            files.extractall(top / "unpacked", filter="data")
        (unpacked,) = (top / "unpacked").iterdir()
        run(*install, f"{package}[test]", cwd=empty)
        run(*test, "tests/flows", cwd=unpacked)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["lowest", "wheel", "sdist"])
    parser.add_argument("tests", nargs="*", help="of lowest; all by default")
    args = parser.parse_args()
    if args.tests and args.what != "lowest":
        parser.error(f"{args.what} has tests of its own; name none")
    with tempfile.TemporaryDirectory() as folder:
        if args.what == "lowest":
            lowest(Path(folder), args.tests)
        else:
            built(Path(folder), args.what)
    print(f"{args.what}: passed on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
