"""The notebooks keep the form that readers, Colab and the book rely on."""

import re
import subprocess
import sys
from collections import Counter
from copy import deepcopy
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml

from dgm_course.verify import collect_rows

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
sys.path.insert(0, str(BOOK / "_ext"))
import notebooks as tools  # noqa: E402

PATHS = sorted(BOOK.glob("*.ipynb"))
PATHS += sorted((ROOT / "assignments").glob("*.ipynb"))
CHAPTERS = [path for path in PATHS if path.name[:2].isdigit()]
ASSIGNMENTS = [path for path in PATHS if path.parent != BOOK]
STATEMENT = re.compile(
    r"^> \*\*((?:Theorem|Lemma|Proposition|Corollary) \d+\.\d+)", re.M
)


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda p: p.stem)


@cache
def read(path):
    """Read a notebook once for all tests, which leave it as it is."""
    return nbformat.read(path, as_version=4)


def cells(path, kind):
    return [c for c in read(path).cells if c.cell_type == kind]


def markdown(path):
    return "\n\n".join(c.source for c in cells(path, "markdown"))


def tags(cell):
    return cell.metadata.get("tags", [])


@each(PATHS)
def test_valid_and_stripped(path):
    notebook = read(path)
    nbformat.validate(notebook)
    stripped = deepcopy(notebook)
    tools.strip(stripped)
    tools.refresh(stripped, path.name, path.parent.name)
    assert stripped == notebook, "run `make notebooks`"


@each(PATHS)
def test_badge_and_setup_follow_the_repository_url(path):
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    url = config["repository"]["url"]
    branch = config["repository"]["branch"]
    first = read(path).cells[0].source
    notebook = url.replace("https://github.com", "/github")
    notebook += f"/blob/{branch}/{path.parent.name}/{path.name})"
    # the list of checks reads the chapters, which Colab would not have
    alone = path.name == tools.ALONE
    assert (f"colab.research.google.com{notebook}" in first) != alone
    page = f"{config['html']['baseurl']}/{path.parent.name}/{path.stem}.html"
    assert f"[Read it as a page]({page})" in first
    setup = cells(path, "code")[0].source
    assert f"git+{url}@{branch}" in setup and "--no-deps" in setup
    assert setup == cells(PATHS[0], "code")[0].source


@each(CHAPTERS + ASSIGNMENTS)
def test_the_time_that_its_code_takes_is_told(path):
    cpu = r"the code takes [\w ]+\son\sone\score\sof\sa\sCPU;"
    gpu = r"\son\sa\sT4\sit\s(was\snot\stimed|takes [\w ]+)\."
    assert re.search(cpu + gpu, markdown(path))


@each(PATHS)
def test_cells_are_short_and_narrow(path):
    for cell in cells(path, "code"):
        lines = cell.source.splitlines()
        assert max(map(len, lines)) <= 80, cell.source
        assert len(lines) <= 20, cell.source
    for line in markdown(path).splitlines():
        table = line.startswith("|") or "colab-badge" in line
        assert len(line) <= 80 or table, line


@each(PATHS)
def test_markdown_is_portable(path):
    text = markdown(path)
    assert not re.search(
        r"^(:::|```\{)|\{(doc|ref|eq|cite|term)[:\w]*\}`", text, re.M
    )
    assert not re.search(r"\\begin\{(align|equation)\*?\}", text)
    # a "\\t" or "\\f" that lost its backslash in a Python string
    assert text.replace("\n", "").isprintable()
    for alt in re.findall(r"!\[([^\]]*)\]", text):
        assert alt.strip()


@each(PATHS)
def test_no_formula_breaks_into_a_list(path):
    """Within $...$ a line that starts with "- " would begin a list."""
    text = re.sub(r"\$\$.*?\$\$", "", markdown(path), flags=re.S)
    for paragraph in re.split(r"\n(?:> ?)?\n", text):
        dollars = 0
        for line in paragraph.splitlines():
            start = line.removeprefix(">").lstrip()
            marker = start.startswith(("- ", "+ ", "* "))
            assert not (dollars % 2 and marker), line
            dollars += line.count("$")


def anchors(path):
    return re.findall(r'<a id="([\w-]+)"></a>', markdown(path))


def test_anchors_and_equation_numbers_are_unique():
    names = Counter(name for path in PATHS for name in anchors(path))
    numbers = Counter(
        n for p in PATHS for n in re.findall(r"\\tag\{([^}]+)\}", markdown(p))
    )
    repeated = [k for k, n in (names + numbers).items() if n > 1]
    assert names and numbers and not repeated


@each(PATHS)
def test_links_resolve(path):
    for target in re.findall(r"\]\(#([\w-]+)\)", markdown(path)):
        assert target in anchors(path), target
    for name in re.findall(
        r"\]\(([\w./-]+\.(?:ipynb|md))(?:#[^)]*)?\)", markdown(path)
    ):
        assert (path.parent / name).exists(), name


@each(CHAPTERS)
def test_equation_numbers_in_the_text_exist(path):
    text = markdown(path)
    number = str(int(path.name[:2]))
    tagged = set(re.findall(r"\\tag\{([^}]+)\}", text))
    assert all(tag.startswith(f"{number}.") for tag in tagged)
    mentioned = set(re.findall(rf"\(({number}\.\d+)\)", text))
    assert mentioned <= tagged, mentioned - tagged


@each(CHAPTERS)
def test_every_statement_has_proof_check_and_row(path):
    text = markdown(path)
    statements = STATEMENT.findall(text)
    number = str(int(path.name[:2]))
    expected = [f"{number}.{i + 1}" for i in range(len(statements))]
    assert [s.split()[1] for s in statements] == expected
    parts = STATEMENT.split(text)[1:]
    for name, rest in zip(parts[::2], parts[1::2]):
        assert "> **Proof.**" in rest, f"{name} has no proof"
        assert rest.count(r"\blacksquare") == 1, f"{name}: end the proof"
        assert re.match(r"[^\n]*<a id=", rest), f"{name} has no anchor"
    rows = {row.theorem for row in collect_rows(path)}
    assert set(statements) == rows


@each(PATHS)
def test_check_cells_print_passing_rows_only(path):
    for cell in cells(path, "code"):
        kept = "keep_output" in tags(cell)
        assert kept == ("nbval-check-output" in tags(cell))
        if kept:
            assert "verify." in cell.source
            assert cell.execution_count, "nbval compares only what has run"
            (output,) = cell.outputs
            rows = output["text"].splitlines()
            assert rows and all(row.endswith("| pass") for row in rows)


@each(CHAPTERS)
def test_shape_of_a_chapter(path):
    code = "\n".join(c.source for c in cells(path, "code"))
    text = markdown(path)
    parts = ("plots.show_source(", "explore(", "live(", "profile(", "fit(")
    for part in parts:
        assert part in code, part
    assert "verify.show_measured()" in code
    headings = re.findall(r"^## (.*)", text, re.M)
    assert {"Exercises", "How close were they?", "Summary"} <= set(headings)
    assert "*Slides covered:*" in text and "**References.**" in text
    assert not re.search(r"plt\.|\.show\(\)", code)


@each(CHAPTERS)
def test_every_exercise_has_a_hidden_solution_that_runs(path):
    notebook = read(path)
    exercises = 0
    for cell, following in zip(notebook.cells, notebook.cells[1:]):
        tail = cell.source.split("## Exercises")[-1]
        if cell.cell_type == "markdown" and re.search(
            r"^\*\*\d+\.\d+\*\* ", tail, re.M
        ):
            exercises += 1
            assert "hide-cell" in tags(following)
            assert following.metadata["jupyter"]["source_hidden"]
            assert "raises-exception" not in tags(following)
    assert exercises >= 3


@each(PATHS)
def test_nothing_of_the_scaffold_is_left(path):
    for cell in read(path).cells:
        assert "TODO" not in cell.source, cell.source


@each(PATHS)
def test_folded_cells_check_nothing(path):
    """A page may fold what only draws or formats, never what it shows."""
    for cell in cells(path, "code"):
        if "hide-input" in tags(cell):
            assert "keep_output" not in tags(cell), cell.source
            assert "plots.show_source(" not in cell.source, cell.source


def table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    return [toc["root"], *chapters]


def test_table_of_contents_lists_finished_pages_only():
    pages = table_of_contents()
    stems = {p.relative_to(ROOT).with_suffix("").as_posix() for p in PATHS}
    assert stems <= set(pages)
    for page in pages:
        exists = [
            (ROOT / page).with_suffix(s).exists() for s in (".md", ".ipynb")
        ]
        assert any(exists), page


def test_chapters_are_listed_in_their_order():
    names = [path.stem for path in CHAPTERS]
    pages = [Path(page).name for page in table_of_contents()]
    assert [page for page in pages if page[:2].isdigit()] == names
    intro = (BOOK / "intro.md").read_text()
    assert "TODO" not in intro
    slides, schedule = intro.split("## A schedule")
    week = re.findall(r"^\| \d+ \|.*\{doc\}`(\d\d_\w+)`", schedule, re.M)
    assert week == names, "list each chapter in the schedule of intro.md"
    weeks = re.findall(r"^\| (\d+) \|", schedule, re.M)
    assert weeks == [str(i + 1) for i in range(len(weeks))]
    section = re.findall(r"^\| .*\{doc\}`(\d\d_\w+)`", slides, re.M)
    assert list(dict.fromkeys(section)) == names, "list its slides in intro.md"


def test_the_sections_that_the_introduction_names_exist():
    headings = re.findall(
        r"^## (\d+\.\d+) ", "\n".join(map(markdown, CHAPTERS)), re.M
    )
    for line in (BOOK / "intro.md").read_text().splitlines():
        if line.startswith("|"):
            missing = set(re.findall(r"\d+\.\d+", line)) - set(headings)
            assert not missing, f"no section {missing}: {line}"


def plain(title):
    return re.sub(r"[^a-z0-9]", "", title.lower())


def test_references_have_a_doi_and_are_sorted():
    text = (BOOK / "references.bib").read_text()
    keys = re.findall(r"^@\w+\{(\w+),", text, re.M)
    assert keys == sorted(keys)
    for entry in text.split("\n@"):
        found = re.search(r"doi = \{10\.\d+/", entry)
        # workshops, and conferences on OpenReview alone, give no DOI
        without = " Workshop" in entry or "https://openreview.net/" in entry
        assert found or without, entry


def test_what_the_chapters_cite_is_in_the_references():
    text = (BOOK / "references.bib").read_text()
    entries = re.findall(r"title = \{(.*?)\},\n.*?year = \{(\d+)\}", text, re.S)
    for path in CHAPTERS:
        cited = markdown(path).split("**References.**")[1]
        for title, year in re.findall(r"\*([^*]+)\*\s+\((\d{4})\)", cited):
            assert any(
                plain(known).startswith(plain(title)) and y == year
                for known, y in entries
            ), f"{path.stem}: {title} ({year}) is not in references.bib"


def test_each_reference_is_cited():
    """By its title, in a chapter, or by a page or the library's docstrings."""
    text = (BOOK / "references.bib").read_text()
    pages = [*map(markdown, PATHS), *(p.read_text() for p in BOOK.glob("*.md"))]
    code = (p.read_text() for p in ROOT.glob("dgm_course/**/*.py"))
    said = plain(" ".join([*pages, *code]))
    titles = re.findall(r"^  title = \{(.*)\},$", text, re.M)
    assert len(titles) == text.count("\n@") + text.startswith("@")
    assert [t for t in titles if plain(t.split(":")[0]) not in said] == []


def test_scaffold_passes_these_tests(tmp_path, monkeypatch):
    """`make chapter NAME=...` in a copy of the book; see what it lists."""
    book, number = tmp_path / "book", CHAPTERS[3].stem[:2]
    (book / "_ext").mkdir(parents=True)
    (tmp_path / "_config.yml").write_text((ROOT / "_config.yml").read_text())
    listed = {}
    for name in ("_toc.yml", "book/intro.md"):  # as if it had no such chapter
        lines = (ROOT / name).read_text().splitlines()
        listed[name] = [x for x in lines if f"{number}_" not in x]
        (tmp_path / name).write_text("\n".join(listed[name]) + "\n")
    template = (BOOK / "_ext/chapter.md").read_text()
    (book / "_ext/chapter.md").write_text(template)
    (book / "00_primer.ipynb").write_bytes(PATHS[0].read_bytes())
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    path = tools.new(f"{number}_scaffold")
    with pytest.raises(SystemExit, match="no chapter name"):
        tools.new("Chapter 12")
    with pytest.raises(SystemExit, match=f"another number than {number}"):
        tools.new(f"{number}_other")
    monkeypatch.setattr(tools, "ROOT", ROOT)
    for name, lines in listed.items():
        text = (tmp_path / name).read_text()
        kept = [x for x in text.splitlines() if "_scaffold" not in x]
        assert kept == lines
        before, *parts, after = text.split(f"{number}_scaffold")
        assert len(parts) == name.count("intro")
        for part in (before, *parts):
            assert re.findall(r"\b(\d\d)_", part)[-1] < number
        assert re.findall(r"\b(\d\d)_", after)[0] > number
    for test in STRUCTURE:
        test(path)
    with pytest.raises(AssertionError, match="TODO"):
        test_nothing_of_the_scaffold_is_left(path)


def test_setup_cell_stops_where_pip_failed(tmp_path):
    """A `%pip` that fails raises nothing by itself."""
    source = tools.setup_cell().replace("%pip", "pass  # ")
    script = f"import sys; sys.modules['dgm_course'] = None\n{source}"
    script = script.replace(
        'find_spec("dgm_course") is None', 'find_spec("dgm_cours") is None'
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1 and "dgm_course" in run.stderr


def test_setup_cell_runs_in_an_empty_folder(tmp_path):
    """Where the package is installed the setup cell does nothing."""
    source = tools.setup_cell()
    script = "\n".join(
        line.replace("%pip install", "raise SystemExit  #")
        for line in source.splitlines()
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=tmp_path, timeout=60
    )


@each(PATHS)
def test_text_and_back(path):
    """`notebooks.py text` loses nothing that `notebooks.py write` needs."""
    notebook = read(path)
    text = tools.to_text(notebook)
    again = tools.from_text(text)
    assert tools.to_text(again) == text
    kinds = [(c.cell_type, c.source.strip(), tags(c)) for c in notebook.cells]
    assert kinds == [(c.cell_type, c.source, tags(c)) for c in again.cells]


# what a chapter must pass by itself, the scaffold included
STRUCTURE = [
    test_valid_and_stripped,
    test_badge_and_setup_follow_the_repository_url,
    test_cells_are_short_and_narrow,
    test_markdown_is_portable,
    test_no_formula_breaks_into_a_list,
    test_links_resolve,
    test_equation_numbers_in_the_text_exist,
    test_every_statement_has_proof_check_and_row,
    test_check_cells_print_passing_rows_only,
    test_shape_of_a_chapter,
    test_every_exercise_has_a_hidden_solution_that_runs,
    test_folded_cells_check_nothing,
    test_text_and_back,
]
