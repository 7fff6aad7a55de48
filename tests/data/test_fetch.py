import errno
import gzip
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest

from dgm_course.data import cifar10, download, fetch, mnist, store
from dgm_course.data.sources import SOURCES

FIRST = next(iter(SOURCES["mnist"].sha256))


def check(images, published, split):
    expected = published[f"{split}_images"][:, None]
    assert (images.images.numpy() == expected).all()
    assert images.labels.tolist() == published[f"{split}_labels"].tolist()


def contents(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_downloads_once(published, site, folder):
    check(mnist("train", full=True), published, "train")
    assert [path[:3] for path in site.asked] == ["/a/"] * 4
    check(mnist("test", full=True), published, "test")
    assert len(site.asked) == 4
    assert contents(folder) == ["mnist.npz"]
    (folder / "plain").touch()  # the archive is as public as any file
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1


def test_only_the_profile_full_asks_the_network(
    published, site, folder, monkeypatch
):
    for name in ("smoke", "read"):
        monkeypatch.setenv("DGM_PROFILE", name)
        assert len(mnist("test").images) == 2000
    assert site.asked == [] and contents(folder) == []
    monkeypatch.setenv("DGM_PROFILE", "full")
    check(mnist("test"), published, "test")


@pytest.mark.parametrize("length", [0, None])
def test_a_download_that_breaks_off_goes_to_the_next_mirror(
    published, site, folder, length
):
    for path, body in list(site.pages.items()):
        if path.startswith("/a/"):
            site.pages[path] = body[: len(body) // 2]
            site.lengths[path] = None if length is None else len(body)
    check(mnist(full=True), published, "train")
    assert [path[:3] for path in site.asked] == ["/a/", "/b/"] * 4
    assert contents(folder) == ["mnist.npz"]


def test_a_missing_or_wrong_file_goes_to_the_next_mirror(published, site):
    files = list(SOURCES["mnist"].sha256)
    del site.pages[f"/a/{files[0]}"]
    site.pages[f"/a/{files[1]}"] = b"<html>Sign in to this network</html>"
    site.pages[f"/a/{files[2]}"] = b"\x1f\x8bnot gzip after all"
    site.pages[f"/a/{files[3]}"] = gzip.compress(b"another file")
    check(mnist(full=True), published, "train")


def test_only_the_content_counts_not_how_it_is_compressed(published, site):
    files = list(SOURCES["mnist"].sha256)
    for path, level in ((f"/a/{files[0]}", 1), (f"/a/{files[1]}", 9)):
        content = gzip.decompress(site.pages[path])
        site.pages[path] = gzip.compress(content, level, mtime=12345)
    path = f"/a/{files[2]}"
    site.pages[path] = gzip.decompress(site.pages[path])
    check(mnist(full=True), published, "train")
    assert all(path.startswith("/a/") for path in site.asked)


def test_wrong_content_everywhere(published, site, folder):
    for path in site.pages:
        if path.endswith(FIRST):
            site.pages[path] = gzip.compress(b"forged")
    with pytest.raises(OSError) as caught:
        mnist(full=True)
    message = str(caught.value)
    for part in (
        "cannot download mnist",
        f"{site.base}/a/{FIRST}",
        f"{site.base}/b/{FIRST}",
        SOURCES["mnist"].sha256[FIRST],
        "DGM_DATA",
        "full=False",
    ):
        assert part in message
    assert contents(folder) == []


def test_no_network(published, folder, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mirrors = [f"http://127.0.0.1:{port}/"]
    source = replace(SOURCES["mnist"], mirrors=mirrors)
    monkeypatch.setitem(SOURCES, "mnist", source)
    with pytest.raises(OSError, match=r"cannot download mnist.*\n.*refused"):
        mnist(full=True)
    assert contents(folder) == []


def test_ctrl_c_leaves_nothing(published, folder, monkeypatch):
    real, calls = fetch._http, []

    def interrupted(url, label):
        calls.append(url)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(url, label)

    monkeypatch.setattr(fetch, "_http", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mnist(full=True)
    assert contents(folder) == []


def test_two_processes_at_once(published, site, folder):
    site.meet = threading.Barrier(2, timeout=60)  # neither may run ahead
    code = (
        "from dataclasses import replace\n"
        "from dgm_course.data import mnist\n"
        "from dgm_course.data.sources import SOURCES\n"
        f"SOURCES['mnist'] = replace(SOURCES['mnist'], "
        f"mirrors={SOURCES['mnist'].mirrors}, "
        f"sha256={SOURCES['mnist'].sha256})\n"
        "print(mnist(full=True).images.shape)\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert outputs == [b"torch.Size([6, 1, 28, 28])\n"] * 2
    assert len(site.asked) == 8
    assert contents(folder) == ["mnist.npz"]
    site.meet = None
    check(mnist(full=True), published, "train")


def test_a_disk_that_fills_up(published, folder, monkeypatch):
    def full_disk(file, **arrays):
        file.write(b"some bytes")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match=r"mnist\.npz: No space left.*[Ff]ree"):
        mnist(full=True)
    assert contents(folder) == []


@pytest.fixture
def small_disk(folder):
    """A folder on a disk of its own with 16 kB."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)]
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not root or subprocess.run(mount, stderr=subprocess.PIPE).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_noticed_before_the_download(
    published, site, small_disk
):
    with pytest.raises(OSError, match="needs 55 MB and 0 MB are free"):
        mnist(full=True)
    assert site.asked == [] and contents(small_disk) == []


def test_a_disk_too_small_for_the_archive(published, small_disk, monkeypatch):
    (small_disk / "other").write_bytes(bytes(12288))
    source = replace(SOURCES["mnist"], megabytes=0)
    monkeypatch.setitem(SOURCES, "mnist", source)
    with pytest.raises(OSError, match=r"mnist\.npz: No space left"):
        mnist(full=True)
    assert contents(small_disk) == ["other"]


def test_a_read_only_folder(published, site, small_disk):
    def remount(how):
        options = f"remount,{how}"
        run = ["mount", "-o", options, str(small_disk)]
        subprocess.run(run, check=True)

    np.savez(small_disk / "mnist.npz", **published)
    remount("ro")
    check(mnist(full=True), published, "train")  # used as it is
    remount("rw")
    os.unlink(small_disk / "mnist.npz")
    remount("ro")
    with pytest.raises(OSError, match=r"Read-only file system.*DGM_DATA"):
        mnist(full=True)
    assert site.asked == []


def test_a_folder_that_cannot_be_made(published, site, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DGM_DATA", str(tmp_path / "file" / "sets"))
    with pytest.raises(OSError, match=r"file.sets.mnist\.npz.*DGM_DATA"):
        mnist(full=True)
    assert site.asked == []


def test_the_cache_folder_of_the_user(monkeypatch, tmp_path):
    import pooch

    monkeypatch.delenv("DGM_DATA")
    assert store.folder() == pooch.os_cache("dgm-course")
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pip install pooch.*DGM_DATA"):
        store.folder()


def test_cifar10_is_not_bundled(folder):
    with pytest.raises(FileNotFoundError) as caught:
        cifar10()
    message = str(caught.value)
    assert str(folder / "cifar10.npz") in message
    assert "`dgm data get cifar10`" in message and "full=True" in message


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"'imagenet'.*mnist, fashion_mnist"):
        download("imagenet")


EMPTY_TAR = io.BytesIO()
tarfile.open(fileobj=EMPTY_TAR, mode="w").close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in to this network</html>",
        gzip.compress(b"x")[:10] + b"\xff" * 20,
        gzip.compress(bytes(9999))[:30],
        gzip.compress(EMPTY_TAR.getvalue()),
        b"\xfd7zXZ\x00" + b"\xff" * 99,
    ],
    ids=["empty", "page", "bad deflate", "cut off", "no batches", "bad xz"],
)
def test_every_damage_to_a_tar_archive_is_reported(
    site, folder, monkeypatch, body
):
    mirrors = [f"{site.base}/a/", f"{site.base}/b/"]
    source = replace(SOURCES["cifar10"], mirrors=mirrors, megabytes=0)
    monkeypatch.setitem(SOURCES, "cifar10", source)
    for mirror in "ab":
        site.pages[f"/{mirror}/cifar-10-binary.tar.gz"] = body
    with pytest.raises(OSError, match=r"cannot download cifar10.*\n.*\n.*/b/"):
        cifar10(full=True)
    assert len(site.asked) == 2 and contents(folder) == []


def test_without_pooch_no_mirror_is_blamed(published, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match="pip install pooch"):
        mnist(full=True)
