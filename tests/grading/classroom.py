"""A class as Moodle exports it, some of it hostile or broken."""

import io
import json
import zipfile
from dataclasses import dataclass, field

from mangled import notebook

FIRST = 7_000_000  # Moodle's number of the first participant
ABSENT = "s999"  # hands in nothing
NAMES = [
    "Ada Lovelace",
    "Ада Лавлейс",
    "Иван Петров",
    "Иван Петров",  # another one
    "Jean-Luc O'Neil",
    "Zoë van der Berg",
    "李 小龙",
    '=HYPERLINK("http://x","y")',
    "<script>alert(1)<script>",
    "Ann_With_Underscores",
]

# is trained in no time, and earns nothing
GAUSSIAN = """
def train(x, seed):
    return torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T))

def log_prob(model, x):
    return model.log_prob(x)

def sample(model, n):
    return model.sample((n,))
"""
CRASH = "import os\ndef {name}(*arguments):\n    os._exit(0)\n"
LOOP = "def {name}(*arguments):\n    while True: pass\n"
FORGE = (
    "import sys, numpy as np\n"
    "def {name}(*arguments):\n"
    "    frame = sys._getframe(1)\n"
    "    while frame.f_code.co_name != 'serve':\n"
    "        frame = frame.f_back\n"
    "    encode = sys.modules['inside.wire'].encode\n"
    "    known = frame.f_locals\n"
    "    known['replies'].write(encode({{'number': known['number'],\n"
    "        'missing': np.zeros(3), 'value': True}}))\n"
    "    known['replies'].flush()\n"
)
CHILDREN = (
    "import os, time\n"
    "for _ in range(20):\n"
    "    if os.fork() == 0:\n"
    "        time.sleep(3600)\n"
)
SHOUT = "raise ValueError('<img src=x onerror=alert(1)>' * 20)"


@dataclass
class Student:
    """A member of the class.

    Attributes:
        id: In the class list.
        name: As Moodle shows it.
        data: The file that was handed in; None for nothing.
        file: Its name.
        loses: Questions in which points are lost, ... for refused.
    """

    id: str
    name: str
    data: bytes | None
    file: str = "a1.ipynb"
    loses: set = field(default_factory=set)


def students(questions, solution, untouched, sound=30, hostile=10):
    """Students, with what they hand in and what that costs them.

    One in ten sound works trains a model, the last six hold one of the listed
    wrong solutions; ten kinds of hostile or broken ones follow in turn.
    """
    graded = [q for q in questions if hasattr(q, "wrong")]
    trained, second = graded[-1], graded[1]
    everything = {q.id for q in graded}

    def work(i, *more):
        cells = [*solution, *more, f"student = {i}"]
        return json.dumps(notebook(cells)).encode()

    def broken(source, name=second.function):
        return work(i, GAUSSIAN, source.format(name=name))

    found = []
    for i in range(sound):
        loses, data, file = set(), work(i), "тетрадь №1 (final).ipynb"
        if i >= sound // 10:
            loses, data = {trained.id}, work(i, GAUSSIAN)
        if i >= sound - 6:  # one of the listed wrong solutions as well
            question = graded[i % (len(graded) - 1)]
            wrong = question.wrong[i % len(question.wrong)]
            data, loses = work(i, GAUSSIAN, wrong.source), loses | {question.id}
        if i % 5 == 4:
            data, file = (
                packed({"in.zip": packed({"d/a 1.ipynb": data})}),
                "z.zip",
            )
        found.append((data, file, loses))
    both = {trained.id, second.id}
    link = zipfile.ZipInfo("a1.ipynb")
    link.external_attr = 0o120777 << 16
    bomb = packed({f"{k}.ipynb": bytes(10**8) for k in range(12)})
    for i in range(sound, sound + hostile):
        bad = [
            (broken(CRASH), "a1.ipynb", both),
            (broken(LOOP), "a1.ipynb", both),
            (broken(FORGE), "a1.ipynb", both),
            (work(i, GAUSSIAN, CHILDREN), "a1.ipynb", {trained.id}),
            (work(i, GAUSSIAN, SHOUT), "a1.ipynb", {trained.id}),
            (json.dumps(notebook(untouched)).encode(), "a1.ipynb", everything),
            (b"\x89PNG not a notebook", "a1.ipynb", ...),
            (bomb, "b.zip", ...),
            (packed({link: b"/etc/passwd"}), "link.zip", ...),
            (work(i)[:500], "a1.ipynb", ...),
        ]
        found.append(bad[(i - sound) % len(bad)])
    return [
        Student(f"s{i:03}", NAMES[i] if i < 10 else f"Student {i}", *work)
        for i, work in enumerate(found)
    ]


def packed(files):
    """A zip in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def export(folder, members):
    """Write Moodle's zip and class list; one more student hands in nothing."""
    files, rows = {}, ["Identifier;Full name;ID number"]
    for i, student in enumerate(members):
        # what Moodle leaves of a name in a path
        shown = student.name.replace("/", "").replace('"', "")
        folder_of = f"{shown}_{FIRST + i}_assignsubmission_file_"
        files[f"export/{folder_of}/{student.file}"] = student.data
        name = student.name.replace('"', '""')
        rows.append(f'Participant {FIRST + i};"{name}";{student.id}')
    rows.append(f"Participant {FIRST + 999};Quiet Student;{ABSENT}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "export.zip").write_bytes(packed(files))
    (folder / "class.csv").write_text("\n".join(rows) + "\n", "utf-8")
