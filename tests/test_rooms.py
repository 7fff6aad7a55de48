"""Lower rooms never import upper ones, and the package imports little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dgm_course"
# every room may import those of earlier lines, and its own line's helpers
ORDER = [
    {"profile", "files", "limits", "sight"},
    {"plots", "player", "live", "listen"},
    {"verify", "rows", "quadrature", "memory"},
    {"nn", "data"},
    {"likelihoods"},
    {"flows"},
    {"dequantization", "reversible", "pixel", "wavenet", "vae"},
    {"coding", "disentanglement"},
    {"history", "devices", "batches", "checkpoint", "finite", "signals"},
    {"evaluation"},
    {"training"},
    {"zoo"},
    {"grading"},
    {"commands"},
    {"cli"},
]
LEVEL = {room: i for i, rooms in enumerate(ORDER) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(path):
    """Rooms of dgm_course that a module imports, anywhere in its text."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else []
            yield from names or [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if (node.module or "").startswith("dgm_course"):
                tail = node.module.split(".")[1:]
                yield from tail[:1] or [a.name for a in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("dgm_course."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_order_of_rooms(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in LEVEL, f"{path}: {here} has no place in ORDER"
    for name in imported_rooms(path):
        other = name.split(".")[0]
        if other in ("__init__", "__version__", here):
            continue
        assert other in LEVEL, f"{path}: {other} has no place in ORDER"
        assert LEVEL[other] <= LEVEL[here], f"{path} imports {other}"


def test_every_room_has_a_place():
    rooms = {room(path) for path in MODULES} - {"__init__"}
    assert rooms <= set(LEVEL), rooms - set(LEVEL)


@pytest.mark.parametrize(
    "line",
    [
        "from ..training import fit",
        "from .. import zoo",
        "def f():\n    from dgm_course.cli import main",
        "import dgm_course.zoo.train",
    ],
)
def test_an_upward_import_is_caught(line, tmp_path, monkeypatch):
    """The checker itself: a flow that imports an upper room is refused."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    path = tmp_path / "flows" / "bad.py"
    path.parent.mkdir()
    path.write_text(line)
    with pytest.raises(AssertionError, match=r"bad\.py imports"):
        test_order_of_rooms(path)


def test_no_test_imports_another():
    """What two tests share stands in tests/support."""
    files = sorted(PACKAGE.parent.glob("tests/**/*.py"))
    tests = {path.stem for path in files if path.stem.startswith("test_")}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[-1]}
            elif isinstance(node, ast.Import):
                names = {alias.name.split(".")[-1] for alias in node.names}
            else:
                continue
            assert not names & tests, f"{path} imports {names & tests}"


SMALL = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
import dgm_course
import dgm_course.flows, dgm_course.dequantization, dgm_course.data
import dgm_course.training, dgm_course.verify, dgm_course.plots
import dgm_course.player, dgm_course.live, dgm_course.listen
import dgm_course.profile
"""


def test_library_imports_without_the_heavy_packages():
    blocked = {
        "matplotlib",
        "ipywidgets",
        "IPython",
        "pooch",
        "accelerate",
        "nbformat",
        "sklearn",
        "zuko",
        "nflows",
    }
    code = SMALL.format(blocked=blocked)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_import_dgm_course_loads_nothing_beside_torch_and_numpy():
    """The cost of `import dgm_course` is that of its own few modules."""
    code = (
        "import sys, torch, numpy; before = set(sys.modules); "
        "import dgm_course; new = set(sys.modules) - before; "
        "assert all(m.startswith('dgm_course') for m in new), new"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
