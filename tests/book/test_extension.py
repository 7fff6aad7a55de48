"""The Sphinx extension: portable Markdown to MyST, and the cache's key."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from jupyter_cache import get_cache
from jupyter_cache.cache.db import NbCacheRecord
from jupyter_cache.cache.main import JupyterCacheBase

sys.path.insert(0, str(Path(__file__).parents[2] / "book/_ext"))
import dgm_book


def test_statement_becomes_a_box_with_its_anchor():
    text = (
        '> **Theorem 4.2 (Masks).** <a id="thm-masks"></a>\n'
        "> Let $M$ be\n>\n> $$x \\tag{4.1}$$\n\nafter"
    )
    assert dgm_book.to_myst(text) == (
        "(thm-masks)=\n::::{admonition} Theorem 4.2 (Masks)\n"
        ":class: dgm-theorem\n\nLet $M$ be\n\n$$x \\tag{4.1}$$\n::::\n\nafter"
    )


def test_other_quotes_and_code_stay_as_they_are():
    for text in ("> a quote", "```\n> **Proof.** x\n```", "**Theorem** x"):
        assert dgm_book.to_myst(text) == text


def test_badge_goes_and_lone_anchors_become_labels():
    text = '[![Open In Colab](a.svg)](b)\n\n<a id="eq-x"></a>\n$$y$$'
    assert dgm_book.to_myst(text) == "(eq-x)=\n$$y$$"


def test_cache_depends_on_library_requirements_and_profile(
    tmp_path, monkeypatch
):
    """Outputs of another library or profile are never shown."""
    package = tmp_path / "dgm_course"
    package.mkdir()
    module = package / "a.py"
    module.write_text("x = 1")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("torch")
    monkeypatch.setenv("DGM_PROFILE", "read")
    keys = [dgm_book.cache_key(tmp_path)]
    assert dgm_book.cache_key(tmp_path) == keys[0]
    module.write_text("x = 2")
    keys.append(dgm_book.cache_key(tmp_path))
    (package / "card.json").write_text("{}")
    keys.append(dgm_book.cache_key(tmp_path))
    requirements.write_text("torch==2")
    keys.append(dgm_book.cache_key(tmp_path))
    monkeypatch.setenv("DGM_PROFILE", "smoke")
    keys.append(dgm_book.cache_key(tmp_path))
    assert len(set(keys)) == 5


def test_checks_page_is_not_taken_from_the_cache():
    """Its code stays as it is when a chapter's rows change."""
    app = SimpleNamespace(env=SimpleNamespace(doc2path=lambda d: d + ".ipynb"))
    for name, mode in (("book/checks", "force"), ("book/01_x", None)):
        source = ['{"cells": [], "metadata": {}}']
        dgm_book.translate(app, name, source)
        found = json.loads(source[0])["metadata"].get("mystnb", {})
        assert found.get("execution_mode") == mode


def test_checks_page_follows_the_chapters():
    again = dgm_book.collect_again
    assert again(None, None, set(), {"book/01_x"}, set()) == ["book/checks"]
    assert again(None, None, set(), {"book/intro"}, set()) == []


def notebook(path, source):
    cells = [nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_notebooks_are_executed_into_the_cache_before_the_build(
    tmp_path, capfd
):
    """All run, one that raises is named, and none runs a second time."""
    log = tmp_path / "log"
    record = f"open({str(log)!r}, 'a').write('%s'); print('%s ran')"
    notebook(tmp_path / "a.ipynb", record % ("a", "a"))
    notebook(tmp_path / "b.ipynb", record % ("b", "b") + "; 1 / 0")
    notebook(tmp_path / "c.ipynb", record % ("c", "c"))
    (tmp_path / "page.md").write_text("# no notebook")
    config = SimpleNamespace(
        nb_execution_cache_path=str(tmp_path / "cache"),
        nb_execution_timeout=60,
    )
    files = {name: tmp_path / f"{name}.ipynb" for name in "abc"}
    files["page"] = tmp_path / "page.md"
    env = SimpleNamespace(doc2path=files.__getitem__)
    app = SimpleNamespace(config=config)
    dgm_book.execute(app, env, [dgm_book.CHECKS, "page"])
    assert not log.exists()
    with pytest.raises(dgm_book.NotebooksFailed, match=r"b\.ipynb") as caught:
        dgm_book.execute(app, env, ["a", "b", "c", "page"])
    assert "a.ipynb" not in str(caught.value)
    assert "ZeroDivisionError" in capfd.readouterr().err
    cache = get_cache(config.nb_execution_cache_path)
    ran = nbformat.read(files["a"], as_version=4)
    _, merged = cache.merge_match_into_notebook(ran)
    assert merged.cells[0].outputs[0].text == "a ran\n"
    notebook(files["b"], record % ("B", "B"))
    dgm_book.execute(app, env, ["a", "b", "c", "page"])
    assert sorted(log.read_text()) == ["B", "a", "b", "c"]


def test_a_process_keeps_what_another_one_has_just_cached(
    tmp_path, monkeypatch
):
    """As when a record is added between Jupyter Cache's two queries."""
    monkeypatch.setattr(
        NbCacheRecord,
        "records_to_delete",
        lambda keep, db: [
            record.pk for record in NbCacheRecord.records_all(db)
        ],
    )
    kept = []
    for cls in (JupyterCacheBase, dgm_book.SharedCache):
        cache = get_cache(tmp_path / cls.__name__, cls)
        for name in "ab":
            notebook(tmp_path / f"{name}.ipynb", name)
            cache.cache_notebook_file(
                tmp_path / f"{name}.ipynb", check_validity=False
            )
        kept.append(len(cache.list_cache_records()))
    assert kept == [0, 2]


def test_a_box_has_a_role_and_its_title_as_a_name():
    page = (
        '<div class="dgm-theorem admonition" id="thm-x">\n'
        '<p class="admonition-title">'
        'Theorem 1.2 (<em>A</em> &amp; "\\(n\\)")</p>'
        '<p>Text.</p></div><div class="admonition">'
        '<p class="admonition-title">Note</p></div>'
    )
    named = dgm_book.name_boxes(page)
    assert named.startswith(
        '<div role="group" aria-label="Theorem 1.2 (A &amp; &quot;n&quot;)" '
        'class="dgm-theorem admonition" id="thm-x">'
    )
    assert named.count("role=") == 1
