import gzip
import io
import tarfile
import wave

import numpy as np
import pytest

from dgm_course.data import archives, download, prompts
from dgm_course.data.sources import CIFAR10, PROMPTS


def wav(samples, rate=8000, channels=1, width=2):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, width, rate, 0, "NONE", ""))
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def tar(files, mode):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as out:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        out.addfile(folder)
    return file.getvalue()


def deb(files):
    """An ar archive like those of Debian, with members of odd size."""
    parts = [b"!<arch>\n"]
    members = {"debian-binary": b"2.0", "data.tar.xz": tar(files, "w:xz")}
    for name, content in members.items():
        head = (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        )
        assert len(head) == 60
        parts += [head.encode(), content, b"\n" * (len(content) % 2)]
    return b"".join(parts)


def test_a_file_that_unpacks_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(archives, "MOST", 10**4)
    assert archives.gunzip(gzip.compress(bytes(10**4))) == bytes(10**4)
    with pytest.raises(ValueError, match="more than 10000 bytes"):
        archives.gunzip(gzip.compress(bytes(10**7)))


def test_idx_is_big_endian():
    head = bytes([0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 2])
    array = archives.idx(head + bytes(range(6)))
    assert array.tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_cifar10_channels_rows_and_order(mode):
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (12, 32, 32, 3), np.uint8)
    labels = random.randint(0, 10, 12, np.uint8)
    files = {"cifar-10-batches-bin/readme.html": b"hello"}
    for batch in np.random.RandomState(1).permutation(6):
        records = [
            bytes([labels[i]])
            + b"".join(images[i, :, :, c].tobytes() for c in range(3))
            for i in (2 * batch, 2 * batch + 1)
        ]
        name = archives.CIFAR_FILES[batch]
        files[f"cifar-10-batches-bin/{name}"] = b"".join(records)
    arrays = CIFAR10.build([CIFAR10.unpack(tar(files, mode))])
    assert (arrays["train_images"] == images[:10]).all()
    assert (arrays["test_images"] == images[10:]).all()
    assert (arrays["train_labels"] == labels[:10]).all()
    assert (arrays["test_labels"] == labels[10:]).all()


def test_recordings_out_of_a_package():
    b, a = np.arange(-5, 6, dtype=np.int16), np.full(3, 32767, np.int16)
    root = "./usr/share/asterisk/sounds/en_US_f_Allison/"
    files = {
        root + "vm/b.wav": wav(b),
        root + "a.wav": wav(a),
        root + "notes.txt": b"no sound",
    }
    arrays = PROMPTS.build([deb(files)])
    assert arrays["names"].tolist() == ["a", "vm/b"]
    assert arrays["offsets"].tolist() == [0, 3, 14]
    assert (arrays["waveforms"] == np.concatenate([a, b])).all()
    assert arrays["waveforms"].dtype == np.int16


def test_wrong_recordings_are_named(tmp_path):
    path = tmp_path / "x.wav"
    sound = np.zeros(200)
    for content, message in (
        (wav(sound, rate=44100), "x.wav has 44100 Hz.*expected 8000 Hz"),
        (wav(sound, channels=2), "2 channels"),
        (wav(sound)[:-100], "no complete WAV file.*100 bytes are missing"),
        (wav(sound)[:20], "no complete WAV file"),
        (b"RIFF of another kind", "no complete WAV file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            archives.read_wav(str(path), "x.wav")


def test_prompts_from_a_folder_of_wav_files(folder):
    with pytest.raises(ValueError, match=r"holds no \.wav file"):
        (folder / "prompts" / "digits").mkdir(parents=True)
        prompts(full=True)
    for i in range(40):
        path = folder / "prompts" / "digits" / f"{i}.wav"
        path.write_bytes(wav(np.full(100 + i, i)))
    train, test = prompts("train", full=True), prompts("test", full=True)
    assert len(train.names) + len(test.names) == 40
    assert 0 < len(test.names) < len(train.names)
    for wave_, name in zip(train.waveforms, train.names):
        i = int(name.removeprefix("digits/"))
        assert wave_.tolist() == [i] * (100 + i)
    assert len(prompts(full=False).names) == 49  # the bundled part


def test_download_of_the_package(folder, site, monkeypatch):
    import hashlib
    from dataclasses import replace

    from dgm_course.data.sources import SOURCES

    root = "./usr/share/asterisk/sounds/en_US_f_Allison/"
    names = [f"digits/{i}" for i in range(40)] + ["beep", "silence/1"]
    package = deb({f"{root}{n}.wav": wav(np.ones(10)) for n in names})
    source = replace(
        PROMPTS,
        mirrors=[site.base + "/"],
        sha256={"x.deb": hashlib.sha256(package).hexdigest()},
    )
    monkeypatch.setitem(SOURCES, "prompts", source)
    site.pages["/x.deb"] = package
    assert download("prompts") == folder / "prompts.npz"
    train, test = prompts("train", full=True), prompts("test", full=True)
    assert sorted(train.names + test.names) == sorted(names[:40])
