"""The reader: mangled notebooks are read or refused with a clear line."""

import json
import time

import corpus
import pytest
from mangled import mutate, notebook, valid

from dgm_course.grading import local
from dgm_course.grading.inside.cells import python_of
from dgm_course.grading.notebook import Refused, read


def data_of(content, **options):
    return json.dumps(content, **options).encode()


def full_marks(data):
    outcomes = local.grade(read(data).code, corpus.SMALL.graded)
    return corpus.points(outcomes) == {"t1.q1": 2, "t1.q2": 1, "t1.q3": 1}


def without(content, *keys):
    for key in keys:
        content.pop(key, None)
        for cell in content["cells"]:
            cell.pop(key, None)
    return content


def duplicate_ids(content):
    for cell in content["cells"]:
        cell["id"] = "same"
    return content


def format_3():
    cells = [
        {"cell_type": "code", "input": source, "language": "python"}
        for source in corpus.SOLUTION
    ]
    heading = {"cell_type": "heading", "level": 1, "source": "Title"}
    return {"nbformat": 3, "worksheets": [{"cells": [heading, *cells]}]}


COLAB = {
    "colab": {"provenance": [], "collapsed_sections": ["x"]},
    "accelerator": "GPU",
    "kernelspec": {"name": "python3", "display_name": "Python 3"},
}
READ = {
    "as it was": data_of(valid()),
    "sources as strings": data_of(
        {
            **valid(),
            "cells": [
                {**c, "source": "".join(c["source"])} for c in valid()["cells"]
            ],
        }
    ),
    "no metadata, no ids": data_of(without(valid(), "metadata", "id")),
    "no version": data_of(without(valid(), "nbformat", "nbformat_minor")),
    "version of another type": data_of({**valid(), "nbformat": "four"}),
    "version of the future": data_of({**valid(), "nbformat": 99}),
    "format 3": data_of(format_3()),
    "duplicate ids": data_of(duplicate_ids(valid())),
    "metadata of Colab": data_of({**valid(), "metadata": COLAB}),
    "byte order mark": b"\xef\xbb\xbf" + data_of(valid()),
    "utf-16": json.dumps(valid()).encode("utf-16"),
    "cp1251": json.dumps(
        notebook([*corpus.SOLUTION, "# комментарий"]), ensure_ascii=False
    ).encode("cp1251"),
    "indented with tabs": data_of(valid(), indent="\t"),
    "line ends of Windows": data_of(
        notebook([c.replace("\n", "\r\n") for c in corpus.SOLUTION])
    ),
    "line ends of old Macs": data_of(
        notebook([c.replace("\n", "\r") for c in corpus.SOLUTION])
    ),
    "tabs": data_of(
        notebook([c.replace("    ", "\t") for c in corpus.SOLUTION])
    ),
    "cells that are none": data_of(
        {**valid(), "cells": [None, 3, [], {}, "x", *valid()["cells"]]}
    ),
    "magics": data_of(
        notebook(
            [
                "%matplotlib inline\n!pip install torch\nimport numpy as np",
                "%%bash\nrm -rf /",
                "%load_ext autoreload\n%autoreload 2",
                *corpus.SOLUTION,
                "%time x = 3\nfiles = !ls\nassert x == 3\nnp?\n",
            ]
        )
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_holds_cells_is_graded(name):
    assert full_marks(READ[name])


def test_a_hundred_megabytes_of_output():
    content = valid()
    content["cells"][0]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": "x" * 10**8}
    ]
    data = data_of(content)
    start = time.process_time()
    assert full_marks(data)
    assert time.process_time() - start < 20


def test_headings_take_no_time():
    """A pattern with two repetitions would look at each line for days."""
    start = time.process_time()
    for text in ("#" * 10**6, "# Answer " * 10**5, "#" + " Answer" * 10**5):
        content = {"cells": [{"cell_type": "markdown", "source": text}]}
        assert read(data_of(content)).answer("a1.w1") == ""
    assert time.process_time() - start < 5


def test_commas_in_outputs_are_no_values():
    output = {"output_type": "stream", "text": "1," * 6_000_000}
    content = valid()
    content["cells"][0]["outputs"] = [output]
    assert len(read(data_of(content)).code) == 3


REFUSED = {
    "nothing": (b"", "empty"),
    "zeros": (bytes(1000), "empty"),
    "text": (b"print('hello')", "no JSON"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "no JSON"),
    "cut in half": (READ["as it was"][:300], "no JSON"),
    "a list": (b"[1, 2]", "without cells"),
    "a number": (b"7", "without cells"),
    "no cells": (b'{"nbformat": 4}', "has no cells"),
    "empty cells": (b'{"cells": []}', "has no cells"),
    "cells that are text": (b'{"cells": "abc"}', "has no cells"),
    "brackets": (b"[" * 10**6, "nested too deeply"),
    "digits": (b'{"cells": ' + b"9" * 10**5 + b"}", "no JSON"),
    "values that fill the memory": (
        b'{"cells": [' + b"{}," * 6_000_000 + b"{}]}",
        "more than 5000000 lists and values",
    ),
    "too many cells": (
        data_of({"cells": [{"cell_type": "code", "source": "x"}] * 5000}),
        "more than 2000 cells",
    ),
    "too much code": (
        data_of({"cells": [{"cell_type": "code", "source": "x" * 10**7}]}),
        "characters",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_none_is_refused(name):
    data, reason = REFUSED[name]
    with pytest.raises(Refused, match=reason):
        read(data)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("x = 7 \\\n  % 4", "x = 7 \\\n  % 4"),
        ('s = """\n%d\n!ls\n"""', 's = """\n%d\n!ls\n"""'),
        ("if True:\n    !ls", "if True:\n    pass"),
        ("x = %sx ls", "x = None"),
        ("    %time y = 1", "    y = 1"),
        ("!pip install a \\\n  b\nz = 1", "\npass\nz = 1"),
        ("%%time\nz = 1", "\nz = 1"),
        ("%%html\n<b>", ""),
        ("def broken(:", "def broken(:"),
        ("", ""),
    ],
)
def test_magics_become_nothing(given, expected):
    assert python_of(given) == expected


def test_a_top_level_await_runs():
    cells = [
        "async def f():\n    return 3",
        "x = await f()\n"
        "def sum_of_squares(a):\n    return (a**2).sum(0) * x / 3",
    ]
    question = corpus.SMALL.graded[:1]
    assert local.grade(cells, question)["t1.q1"]["points"] == 2


def test_written_answers_are_found():
    def answer(*cells):
        kinds = {"m": "markdown", "c": "code"}
        content = {
            "cells": [
                {"cell_type": kinds[kind], "source": source, **more}
                for kind, source, more in cells
            ]
        }
        return read(data_of(content)).answer("a1.w1")

    by_id = ("m", "by id", {"id": "a1-w1"})
    by_data = ("m", "by data", {"metadata": {"dgm": {"id": "a1.w1"}}})
    heading = ("m", "## Answer a1.w1: why\ntext", {})
    more, code = ("m", "more", {}), ("c", "x = 1", {})
    other = ("m", "### Answer a1.w2\nno", {})
    assert answer(by_id) == "by id"
    assert answer(by_data) == "by data"
    assert answer(more, heading, more, code, more) == f"{heading[1]}\n\nmore"
    assert answer(heading, other, more) == heading[1]
    assert answer(other, more) == ""


def test_the_assignment_is_told_by_its_ids():
    def said(source, **metadata):
        return read(data_of(notebook([source], "", **metadata))).assignment()

    assert said('check("a1.q1"); check("a1.q2"); check("a3.q1")') == "a1"
    assert said('check("a1.q1")', dgm={"assignment": "a5"}) == "a5"
    assert said("x = 1") == ""


def test_mutations_never_crash_the_reader():
    check_mutations(range(100))


@pytest.mark.slow
def test_a_thousand_mutations():
    check_mutations(range(100, 1100))


def check_mutations(seeds):
    refused = 0
    for seed in seeds:
        try:
            content = read(mutate(seed))
        except Refused as error:
            refused += 1
            assert str(error)
            continue
        assert content.code or content.cells
        content.digest(), content.assignment(), content.answer("t1.w1")
        for source in content.code:
            python_of(source)
    # mutations that were all refused, or never, would test nothing
    assert 0.05 < refused / len(seeds) < 0.7


def graded_mutations(seeds, sandbox):
    """Mutated notebooks in the sandbox: points, and never a crash."""
    from functools import partial

    from dgm_course.grading.broker import Session
    from dgm_course.grading.examine import Examination

    points = []
    for seed in seeds:
        try:
            cells = read(mutate(seed)).code
        except Refused:
            continue
        examination = Examination(cells, partial(Session, sandbox))
        outcomes = examination.grade(corpus.SMALL.graded)
        points.append(sum(corpus.points(outcomes).values()))
    assert all(0 <= p <= 4 for p in points)
    return points


def test_mutations_in_the_sandbox(sandbox):
    points = graded_mutations(range(30), sandbox)
    assert len(points) >= 20 and len(set(points)) > 1


@pytest.mark.slow
def test_many_mutations_in_the_sandbox(sandbox):
    graded_mutations(range(100, 500), sandbox)
