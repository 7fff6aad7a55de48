"""Every word of the prose stands in a dictionary, or in our list of words."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("book/*.md"),
    *ROOT.glob("book/*.ipynb"),
]
FILES += [*ROOT.glob("assignments/*.ipynb"), *ROOT.glob("assignments/**/*.md")]
FILES += ROOT.glob("dgm_course/**/*.py")
WORD = re.compile(r"[^\W\d_]+(?:['’][a-z]+)?")
# what is no prose: code, formulas, addresses, roles, names of arguments, paths
NO_PROSE = re.compile(
    r"```.*?```|::\n(?:\n|    .*?\n)+|\$\$.*?\$\$|\$[^$]*\$|``.*?``|:\w+:"
    r"|`[^`]*`|\]\([^)]*\)|<[^>]*>|^ *\**\w+:|\S*(?:://|[_/@{}=^\\])\S*"
    r"|\w+\.\w+\S*",
    re.M | re.S,
)
REASON = "pyspellchecker is missing: it is in requirements.txt"
ENGLISH = pytest.importorskip("spellchecker", reason=REASON).SpellChecker()


@cache
def known_words():
    """The list beside this file, and the names of the authors we cite."""
    listed = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
    references = (ROOT / "book/references.bib").read_text(encoding="utf-8")
    authors = re.findall(r"author = \{(.*?)\},", references, re.S)
    words = [*listed.split(), *WORD.findall(" ".join(authors))]
    return {word.lower() for word in words}


def prose(path):
    """Markdown of a page or a notebook, docstrings of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        chosen = [c for c in cells if c["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in chosen)
    elif path.suffix == ".py":
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, kinds)]
        text = "\n\n".join(ast.get_docstring(n) or "" for n in nodes)
    return NO_PROSE.sub(" ", text)


def unknown(text, known):
    """Words of a text that nobody knows; short names and MAF, ELBOs pass."""
    words = {w for w in WORD.findall(text) if not re.search(r".[A-Z]", w)}
    plain = {w.replace("’", "'").lower().removesuffix("'s") for w in words}
    plain = {w for w in plain if len(w) > 2}
    return ENGLISH.unknown(plain - known)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_spelling(path):
    """Mend a word, or add it to words.txt where it is one."""
    assert unknown(prose(path), known_words()) == set()


def test_a_misspelt_word_is_found():
    text = "The posteriour of `qwrt` is $xyzzy$; see MAFs and Kingma’s VAE."
    assert unknown(NO_PROSE.sub(" ", text), {"kingma"}) == {"posteriour"}


def test_the_list_is_sorted_and_holds_what_the_dictionary_lacks():
    path = Path(__file__).with_name("words.txt")
    words = path.read_text(encoding="utf-8").split()
    assert words == sorted(set(words))
    assert ENGLISH.known(words) == set()
