"""The public tree holds no solution, whatever lies around it."""

import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from dgm_course import cli
from dgm_course.grading import build, leaks, release

ROOT = Path(__file__).parents[2]
if not (ROOT / build.INSTRUCTOR).is_dir():
    pytest.skip("the public tree has no solutions", allow_module_level=True)

SECRET = "the_answer = 40 + 2  # known to instructors alone"
HIDDEN = "EXPECTED = oracle(private_seed=713_713_713)  # a hidden test"
PUBLIC = "def answer(question_that_students_see):  # given to all"


def git(root, *words):
    subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", *words],
        cwd=root, check=True, capture_output=True,
    )  # fmt: skip


def commit(root):
    git(root, "add", "-A")
    git(root, "commit", "-qm", "all")


@pytest.fixture
def course(tmp_path):
    """A small course: one assignment, and what else a repository has."""
    root = tmp_path / "course"
    folder = root / build.INSTRUCTOR / "a1_small"
    folder.mkdir(parents=True)
    (root / "book/_ext").mkdir(parents=True)
    for name in ("book/_ext/notebooks.py", "_config.yml"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    source = (
        f"{PUBLIC}\n    ### BEGIN SOLUTION\n    {SECRET}\n"
        "    return the_answer\n    ### END SOLUTION"
    )
    cells = [
        {"cell_type": kind, "metadata": {}, "source": text}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for kind, text in (
            ("markdown", "# Small\n\n[![Open In Colab](x)](x)"),
            ("code", "setup"),
            ("code", source),
        )
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}}
    text = json.dumps({**notebook, "cells": cells})
    (folder / "source.ipynb").write_text(text)
    (folder / "hidden.py").write_text(f"import numpy\n{HIDDEN}\n")
    (folder / "rubric.md").write_text("One point for each line of the proof.")
    (root / "README.md").write_text("A course.\n")
    (root / ".gitignore").write_text("*.log\n__pycache__/\n")
    build.build(root)
    git(root, "init", "-q")
    commit(root)
    return root


def test_build_takes_the_solution_out(course):
    text = (course / "assignments/a1_small.ipynb").read_text()
    assert PUBLIC in text and "...  # your code here" in text
    assert "SOLUTION" not in text and "the_answer" not in text
    assert "/assignments/a1_small.ipynb)" in text  # the badge


def test_release_writes_all_but_the_instructors_part(course, tmp_path):
    """Nor what git ignores, nor what is not committed."""
    (course / "left.log").write_text(SECRET)
    (course / "untracked.py").write_text(SECRET)
    (course / "__pycache__").mkdir()
    (course / "__pycache__/hidden.pyc").write_text(HIDDEN)
    out = tmp_path / "public"
    count = release.release(course, out)
    files = {p.relative_to(out).as_posix() for p in out.rglob("*.*")}
    files = {f for f in files if (out / f).is_file()}
    assert files == {
        ".gitignore",
        "README.md",
        "_config.yml",
        "assignments/a1_small.ipynb",
        "book/_ext/notebooks.py",
    }
    assert count == len(files)


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("inner/a.py", f"x = 1\n{HIDDEN}\n")
    return buffer.getvalue()


def in_notebook(**cell):
    cell = {"cell_type": "raw", "metadata": {}, "source": ""} | cell
    return json.dumps({"nbformat": 4, "cells": [cell]}).encode()


@pytest.mark.parametrize(
    "name, content",
    [
        ("tests/test_it.py", f"def test():\n    {SECRET}\n".encode()),
        ("notes.md", HIDDEN.replace(" ", "\n  ").encode()),
        ("x.ipynb", in_notebook(metadata={"solution": SECRET})),
        ("y.ipynb", in_notebook(outputs=[{"text": ["a\n", HIDDEN]}])),
        ("z.ipynb", in_notebook(source=[SECRET[:20], SECRET[20:]])),
        ("data.npz", archive()),
        ("wide.txt", SECRET.encode("utf-16")),
        ("binary.bin", b"\xff\x00\xfe" + HIDDEN.encode() + b"\xff"),
        ("rubric.txt", b"One point for each line of the proof."),
    ],
)
def test_a_leak_is_found_and_nothing_is_written(
    course, tmp_path, name, content
):
    path = course / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    commit(course)
    out = tmp_path / "public"
    with pytest.raises(release.Leak, match=f"{Path(name).name}: "):
        release.release(course, out)
    assert not out.exists()


def test_release_wants_committed_work_and_a_new_folder(course, tmp_path):
    (course / "README.md").write_text("changed")
    with pytest.raises(ValueError, match=r"commit first.*README\.md"):
        release.release(course, tmp_path / "public")
    commit(course)
    with pytest.raises(ValueError, match="is not empty"):
        release.release(course, course)


def test_release_wants_notebooks_that_were_built(course, tmp_path):
    path = course / build.INSTRUCTOR / "a1_small/source.ipynb"
    path.write_text(path.read_text().replace("# Small", "# Smaller"))
    commit(course)
    with pytest.raises(ValueError, match=r"a1_small\.ipynb was not what"):
        release.release(course, tmp_path / "public")


@pytest.mark.parametrize(
    "source",
    [
        "### BEGIN SOLUTION\nx = 1",
        "x = 1\n### END SOLUTION",
        "### BEGIN SOLUTION\nx = 1\n### End Solution",
        "###BEGIN SOLUTION\nx = 1\n###END SOLUTION",
    ],
)
def test_half_a_solution_is_refused(source):
    with pytest.raises(ValueError, match="needs both lines"):
        build.student_source(source)


def test_commands_say_what_is_wrong(capsys):
    assert cli.main(["assignment", "build", "a99"]) == 1
    assert "a99: no such assignment; there are a1" in capsys.readouterr().err


def test_the_files_of_this_repository_hold_no_secret():
    """What `release` would search, on the files as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    secret = leaks.secrets(ROOT)
    assert len(secret) > 300
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if Path(name).is_relative_to(build.INSTRUCTOR) or not path.exists():
            continue
        if path.suffix in (".safetensors", ".png", ".npz"):
            continue  # `release` itself searches these too
        assert leaks.leaks_in(secret, name, path.read_bytes()) == []
