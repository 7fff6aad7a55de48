"""Docstrings that the page of the library shows are valid markup."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import nbformat
import pytest
from docutils.core import publish_doctree
from docutils.utils import Reporter
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring

ROOT = Path(__file__).parents[2]
MODULES = re.findall(r"automodule:: (\S+)", (ROOT / "book/api.md").read_text())
# roles and fields of Sphinx that plain docutils does not know
SPHINX = re.compile(r":\w+(:\w+)?:`~?([^`]*)`")


def docstrings(module):
    """Yield name and docstring of a module and of what it defines."""
    yield module.__name__, module.__doc__
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        yield name, thing.__doc__
        for member, value in (
            vars(thing).items() if isinstance(thing, type) else ()
        ):
            if callable(value) and not member.startswith("_"):
                yield f"{name}.{member}", value.__doc__


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_parse(name, capsys):
    module = importlib.import_module(name)
    for thing, text in docstrings(module):
        clean = SPHINX.sub(r"``\2``", inspect.cleandoc(text or ""))
        source = str(GoogleDocstring(clean, Config(napoleon_use_ivar=True)))
        source = re.sub(r"^\.\. rubric::.*", "", source, flags=re.M)
        publish_doctree(
            source,
            settings_overrides={
                "report_level": Reporter.WARNING_LEVEL,
                "halt_level": Reporter.SEVERE_LEVEL + 1,
            },
        )
        found = capsys.readouterr().err
        assert found == "", f"{name}.{thing} (is |x| or x* in ``...``?)"


PACKAGES = {path.parent.name for path in ROOT.glob("dgm_course/*/__init__.py")}
ROOMS = sorted(PACKAGES - {"commands", "grading"})


def classes(module):
    """Yield the classes that a module defines, bases and protocols aside."""
    for name, thing in vars(module).items():
        if not inspect.isclass(thing) or thing.__module__ != module.__name__:
            continue
        base = thing.__subclasses__() or getattr(thing, "_is_protocol", False)
        if not base and not name.startswith("_"):
            yield name


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_lists_what_a_room_exports(room):
    package = importlib.import_module(f"dgm_course.{room}")
    for name in package.__all__:
        thing = getattr(package, name)
        module = getattr(thing, "__module__", None) or thing.__name__
        assert module in MODULES, f"list {module} in book/api.md"


def test_the_page_lists_what_chapters_import():
    files = (ROOT / "book").glob("*.ipynb")
    code = "\n".join(
        cell.source
        for path in files
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    )
    for name in set(re.findall(r"from (dgm_course\.\S+) import", code)):
        package = hasattr(importlib.import_module(name), "__path__")
        assert package or name in MODULES, f"list {name} in book/api.md"


@pytest.mark.parametrize("room", ["flows", "pixel", "vae", "wavenet"])
def test_a_room_exports_the_classes_of_its_files(room):
    """A model that `__init__` forgets would be found by nobody."""
    package = importlib.import_module(f"dgm_course.{room}")
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        missing = set(classes(module)) - set(package.__all__)
        assert not missing, f"export {missing} in {room}/__init__.py"
