"""Docstrings that the page of the library shows are valid markup."""

import re
from pathlib import Path

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
    import importlib
    import inspect

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
        assert capsys.readouterr().err == "", f"{name}.{thing}"
