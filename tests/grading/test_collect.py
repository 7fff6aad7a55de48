"""Submissions as an LMS exports them, and whose they are."""

import io
import json
import os
import time
import zipfile

import corpus
import pytest
from mangled import notebook

from dgm_course.grading import roster, unpack
from dgm_course.grading.collect import collect

DATA = json.dumps(notebook(corpus.SOLUTION)).encode()
OTHER = json.dumps(notebook(['check("a3.q1")'], "")).encode()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def put(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def names(submissions):
    return sorted(s.who for s in submissions)


MOODLE = {
    "Ada Lovelace_1234567_assignsubmission_file_/a 1.ipynb": DATA,
    "Анна Ахматова_1234568_assignsubmission_file_/тетрадь.ipynb": DATA,
    "Jean-Luc O'Neil_1234569_assignsubmission_file_/x.zip": zipped(
        {"inner.zip": zipped({"deep/a1.ipynb": DATA})}
    ),
    "No Notebook_1234570_assignsubmission_file_/essay.pdf": b"%PDF",
    "Ada Lovelace_1234571_assignsubmission_file_/a1.ipynb": DATA,
}
CANVAS = {
    "lovelaceada_4711_99_a1.ipynb": DATA,
    "turingalan_LATE_4712_98_a1-2.ipynb": DATA,
    "turingalan_LATE_4712_98_picture.png": b"\x89PNG",
}


@pytest.mark.parametrize("kind", ["folder", "zip", "wrapped zip"])
@pytest.mark.parametrize("files", [MOODLE, CANVAS], ids=["moodle", "canvas"])
def test_exports(files, kind, tmp_path):
    if kind == "folder":
        path = put(tmp_path / "export", files)
    else:
        top = "export/" if kind == "wrapped zip" else ""
        path = tmp_path / "export.zip"
        path.write_bytes(zipped({top + k: v for k, v in files.items()}))
    found = collect([path], "t1")
    if files is CANVAS:
        assert [s.keys for s in found] == [
            ("lovelaceada", "4711"),
            ("turingalan", "4712"),
        ]
        assert all(s.notebook for s in found)
        return
    assert names(found) == [
        "Ada Lovelace",
        "Ada Lovelace",
        "Jean-Luc O'Neil",
        "No Notebook",
        "Анна Ахматова",
    ]
    refused = [s for s in found if s.notebook is None]
    assert [s.who for s in refused] == ["No Notebook"]
    assert "no JSON" in refused[0].problem


def test_names_in_a_zip_of_windows(tmp_path):
    data = bytearray(zipped({"XXXX.ipynb": DATA, "b.ipynb": DATA}))
    path = tmp_path / "export.zip"
    path.write_bytes(bytes(data).replace(b"XXXX", "Анна".encode("cp866")))
    assert names(collect([path], "t1")) == ["b", "Анна"]


def test_notebooks_of_one_name_in_a_folder_each(tmp_path):
    put(tmp_path, {"ann/t1.ipynb": DATA, "bob/t1.ipynb": DATA})
    paths = sorted(tmp_path.glob("*/t1.ipynb"))
    assert names(collect(paths, "t1")) == ["ann", "bob"]
    assert names(collect(sorted(tmp_path.glob("*")), "t1")) == ["ann", "bob"]
    assert names(collect([tmp_path], "t1")) == ["ann", "bob"]


def test_the_newest_notebook_of_the_assignment_counts(tmp_path):
    old = json.dumps(notebook(["old = 1"])).encode()
    put(tmp_path, {"ann/a.ipynb": DATA, "ann/b.ipynb": old})
    put(tmp_path, {"ann/c.ipynb": OTHER})
    os.utime(tmp_path / "ann/b.ipynb", (1e9, 1e9))
    (found,) = collect([tmp_path], "t1")
    assert found.notebook.code[0] == corpus.SOLUTION[0]
    assert "3 files; graded: a.ipynb" in found.problem


def test_another_assignment_is_refused(tmp_path):
    put(tmp_path, {"ann.ipynb": OTHER})
    (found,) = collect([tmp_path], "a1")
    assert found.notebook is None and "a notebook of a3" in found.problem


def test_links_and_special_files_are_not_opened(tmp_path):
    secret = put(tmp_path, {"secret.ipynb": DATA}) / "secret.ipynb"
    export = put(tmp_path / "export", {"bob/a1.ipynb": DATA})
    (export / "ann").mkdir()
    (export / "ann/a1.ipynb").symlink_to(secret)
    os.mkfifo(export / "fifo.ipynb")
    (export / "loop").symlink_to(export)
    (export / "device.ipynb").symlink_to("/dev/zero")
    found = {s.who: s for s in collect([export], "t1")}
    assert [who for who, s in found.items() if s.notebook] == ["bob"]
    assert set(found) == {"ann", "bob", "fifo", "device"}


def test_hostile_zips(tmp_path):
    bomb = zipped({"zeros.ipynb": b"0" * 10})
    with zipfile.ZipFile(tmp_path / "large.zip", "w", 8) as archive:
        archive.writestr("large.ipynb", bytes(300_000_000))
    inner = bomb
    for _ in range(8):
        inner = zipped({"x.zip": inner})
    put(
        tmp_path,
        {
            "climb.zip": zipped({"../../../../tmp/climbed.ipynb": DATA}),
            "absolute.zip": zipped({"/etc/climbed.ipynb": DATA}),
            "broken.zip": b"PK\x03\x04" + b"x" * 100,
            "deep.zip": inner,
            "many.zip": zipped({f"{i}": b"" for i in range(21_000)}),
            "empty.zip": zipped({}),
        },
    )
    found = {s.who: s for s in collect([tmp_path], "t1")}
    graded = sorted(who for who, s in found.items() if s.notebook)
    assert graded == ["absolute", "climb"]
    assert not os.path.exists("/tmp/climbed.ipynb")
    assert "larger than" in found["large"].problem
    assert "too much" in found["deep"].problem
    assert "too much" in found["many"].problem
    assert "broken zip" in found["broken"].problem


def test_a_bomb_takes_nothing_from_others(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "TOTAL", 1_000_000)
    large = bytes(600_000)
    bomb = zipped({f"{i}.ipynb": large for i in range(8)})
    nested = zipped({f"{i}.zip": bomb for i in range(9)})
    files = {"a.zip": bomb, "b.zip": nested, "c.ipynb": DATA}
    for path in (tmp_path / "all.zip", put(tmp_path / "all", files)):
        if path.suffix:
            path.write_bytes(zipped(files))
        found = {s.who: s for s in collect([path], "t1")}
        assert [who for who, s in found.items() if s.notebook] == ["c"]
        assert "a zip bomb" in found["a"].problem
        assert "a zip bomb" in found["b"].problem


def test_dates_that_students_write_are_not_believed(tmp_path):
    """A zip of last year is as late as the day on which it came."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        date = (1999, 1, 1, 0, 0, 0)
        archive.writestr(zipfile.ZipInfo("a1.ipynb", date), DATA)
    came = (2026, 12, 2, 12, 0, 0)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        info = zipfile.ZipInfo("Ada_1234567_assignsubmission_file_/a.zip", came)
        archive.writestr(info, inner.getvalue())
    (found,) = collect([tmp_path / "export.zip"], "t1")
    assert found.notebook and found.time.year == 2026
    put(tmp_path / "folder", {"ann.zip": inner.getvalue()})
    (found,) = collect([tmp_path / "folder"], "t1")
    assert found.notebook and found.time.year >= 2026


def test_an_invalid_date_is_not_that_of_the_neighbour(tmp_path):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            zipfile.ZipInfo("a.ipynb", (1999, 1, 1, 0, 0, 0)), DATA
        )
        broken = zipfile.ZipInfo("b.ipynb", (2020, 0, 0, 0, 0, 0))
        archive.writestr(broken, DATA)
    by_name = {s.who: s.time.year for s in collect([path], "t1")}
    assert by_name["a"] in (1998, 1999) and by_name["b"] >= 2026


def test_names_that_look_alike_are_never_merged(tmp_path):
    """Two spellings of one name, of which a student may have chosen one."""
    two = ["Zo\u00eb", "Zoe\u0308"]
    put(tmp_path / "in", {f"{name}.ipynb": DATA for name in two})
    found = collect([tmp_path / "in"], "t1")
    assert len(found) == 2
    students = listed("id,name\n1,Zo\u00eb\n", tmp_path / "list.csv")
    chosen, left = roster.match(found, students)
    assert set(chosen) == {"1"} and len(left) == 1
    assert "handed in another one" in left[0][1]


def test_a_name_of_any_length_is_read(tmp_path):
    path = tmp_path / "export.zip"
    path.write_bytes(zipped({".zip" * 16_000 + "x": b"", "a.ipynb": DATA}))
    start = time.process_time()
    assert "a" in names(collect([path], "t1"))
    assert time.process_time() - start < 2


def test_nothing_to_grade_is_said(tmp_path):
    with pytest.raises(ValueError, match="no submission in"):
        collect([tmp_path], "a1")
    with pytest.raises(ValueError, match="there is no"):
        collect([tmp_path / "nowhere"], "a1")


def listed(text, path, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return roster.read(path)


MOODLE_LIST = (
    "First name,Surname,ID number,Email address\n"
    "Ada,Lovelace,s1,ada@x.org\nАнна,Ахматова,s2,anna@x.org\n"
    "Jean-Luc,O'Neil,s3,j@x.org\nNo,Notebook,s4,n@x.org\n"
    "Quiet,Student,s5,q@x.org\n"
)
WORKSHEET = (
    "Identifier;Full name;ID number\n"
    "Participant 1234567;Ada Lovelace;s1\n"
    "Participant 1234571;Ada Lovelace;s6\n"
)
CANVAS_LIST = (
    "Student,ID,SIS User ID,SIS Login ID,Section\n"
    "    Points Possible,,,,\n"
    '"Lovelace, Ada",4711,u1,ada,1\n"Turing, Alan",4712,u2,alan,1\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_moodle(tmp_path, encoding):
    students = listed(MOODLE_LIST, tmp_path / "list.csv", encoding)
    export = put(tmp_path / "export", MOODLE)
    chosen, left = roster.match(collect([export], "t1"), students)
    assert sorted(chosen) == ["s1", "s2", "s3", "s4"]
    assert chosen["s2"].who == "Анна Ахматова"
    assert [why for _, why in left] == ["s1 handed in another one"]


def test_two_of_one_name_are_told_apart_by_ids(tmp_path):
    students = listed(WORKSHEET, tmp_path / "list.csv")
    export = put(tmp_path / "export", MOODLE)
    chosen, _ = roster.match(collect([export], "t1"), students)
    assert {k: s.keys[1] for k, s in chosen.items()} == {
        "s1": "1234567",
        "s6": "1234571",
    }


def test_two_of_one_name_are_never_guessed(tmp_path):
    students = listed(
        "id,name\n1,Ada Lovelace\n2,Ada Lovelace\n", tmp_path / "list.csv"
    )
    put(tmp_path / "export", {"Ada Lovelace.ipynb": DATA})
    found = collect([tmp_path / "export"], "t1")
    chosen, left = roster.match(found, students)
    assert not chosen and "may be of 1, 2" in left[0][1]


def test_a_list_of_canvas(tmp_path):
    students = listed(CANVAS_LIST, tmp_path / "list.csv")
    assert [s.id for s in students] == ["u1", "u2"]
    export = put(tmp_path / "export", CANVAS)
    chosen, left = roster.match(collect([export], "t1"), students)
    assert sorted(chosen) == ["u1", "u2"] and not left


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "a class list has id and name"),
        ("id,name\n1\n", "row 2: 1 cells where the header has 2"),
        ("id,name\n1,A\n2,B,C\n", "row 3: 3 cells"),
        ("id,name\n,A\n", "row 2: no id for 'A'"),
        ("id,name\n1,A\n1,B\n", "stand twice: 1"),
        ("id,name\n", "lists nobody"),
        ("id,name,submitted\n1,A,soon\n", "'soon' is no time"),
    ],
)
def test_a_broken_list_is_refused_with_its_row(text, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        listed(text, tmp_path / "list.csv")
