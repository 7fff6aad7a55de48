"""What a sandbox contains: Python, its packages, the students' part of ours.

Packages are bound one by one: what students may not import (``zuko``, the
models of ``dgm_course``) is absent, not merely hidden.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib import metadata
from pathlib import Path

# with all that they require, where installed
PACKAGES = "torch numpy scipy matplotlib tqdm".split()
HERE = Path(__file__).parent
# what of dgm_course students may import
STUDENTS = ("__init__.py", "files.py", "profile.py", "plots.py", "data")
STUDENTS_GRADING = ("__init__.py", "check.py", "export.py", "public")


def python() -> Path:
    """Return the interpreter itself, not the link of a virtual environment."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def prefix() -> Path:
    """Return the folder of Python's installation."""
    return Path(sys.base_prefix).resolve()


def packages() -> dict[str, Path]:
    """Map names below ``/packages`` to the folders and files they show.

    Raises:
        ImportError: If numpy is not installed as a package.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    found: dict[str, Path] = {}
    seen: set[str] = set()
    queue = list(PACKAGES)
    while queue:
        name = queue.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for file in distribution.files or []:
            top = file.parts[0]
            if top not in found and _is_importable(file.parts):
                found[top] = Path(str(distribution.locate_file(top)))
        for text in distribution.requires or []:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
    if "numpy" not in found:
        raise ImportError(
            "the sandbox needs numpy installed as a package: `pip install "
            f"numpy` for {sys.executable}"
        )
    return {name: path for name, path in found.items() if path.exists()}


def _is_importable(parts: tuple[str, ...]) -> bool:
    top = parts[0]
    if top in ("..", "__pycache__") or top.endswith((".pth", ".dist-info")):
        return False
    return len(parts) > 1 or top.endswith((".py", ".so"))


def course() -> dict[str, Path]:
    """Map names below ``/course/dgm_course`` to files of this package."""
    package = HERE.parent
    shown = {name: package / name for name in STUDENTS}
    for name in STUDENTS_GRADING:
        shown[f"grading/{name}"] = HERE / name
    return {name: path for name, path in shown.items() if path.exists()}


def hidden(shown: list[Path]) -> list[Path]:
    """Return folders inside of the shown ones that must be empty.

    Site packages of the interpreter, the virtual environment, and the
    repository, wherever an installation has put them below ``/usr``.
    """
    paths = sysconfig.get_paths(vars={"base": str(prefix())})
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    candidates = [
        Path(paths["purelib"]),
        Path(paths["platlib"]),
        Path(sysconfig.get_path("purelib")),
        Path("/usr/lib/python3/dist-packages"),
        Path("/usr/local/lib", version, "dist-packages"),
        Path("/usr/src"),
        HERE.parents[1],
    ]
    if sys.prefix != sys.base_prefix:
        candidates.append(Path(sys.prefix))
    folders = [path.resolve() for path in candidates if path.is_dir()]
    inside = [f for f in folders if any(f.is_relative_to(s) for s in shown)]
    return list(dict.fromkeys(inside))


def variables() -> dict[str, str]:
    """Return the environment of a sandboxed process, all of it."""
    threads = "OMP OPENBLAS MKL NUMEXPR VECLIB".split()
    return {
        "HOME": "/home",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp",
        "PATH": "/usr/bin:/bin",
        "PYTHONHASHSEED": "0",
        "USER": "student",
        "DGM_PROFILE": "smoke",
        "TZ": "UTC",
        **{f"{name}_NUM_THREADS": "1" for name in threads},
    }
