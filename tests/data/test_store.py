import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dgm_course.data import cifar10, mnist, prompts, store

SHARED_FOLDER = HealthCheck.function_scoped_fixture
KEYS = ("train_images", "train_labels")


def small(shape=(4, 28, 28), labels=4, dtype=np.uint8):
    arrays = {}
    for split in ("train", "test"):
        arrays[f"{split}_images"] = np.ones(shape, dtype)
        arrays[f"{split}_labels"] = np.zeros(labels, np.int64)
    return arrays


def damage(folder, cut):
    path = folder / "mnist.npz"
    store.write(path, small())
    path.write_bytes(path.read_bytes()[:cut])
    return path


@settings(deadline=None, suppress_health_check=[SHARED_FOLDER])
@given(part=st.floats(0, 1, exclude_max=True))
def test_an_archive_cut_anywhere_is_named(folder, part):
    path = folder / "mnist.npz"
    store.write(path, small())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ValueError) as caught:
        store.read(path, KEYS)
    assert str(path) in str(caught.value)
    assert "dgm data get mnist" in str(caught.value)


@settings(deadline=None, suppress_health_check=[SHARED_FOLDER])
@given(st.data())
def test_a_changed_byte_is_noticed_or_harmless(folder, data):
    path = folder / "mnist.npz"
    arrays = small()
    store.write(path, arrays)
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        found = store.read(path, KEYS)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert all((found[key] == arrays[key]).all() for key in KEYS)


def test_a_damaged_archive_is_an_error_not_a_download(folder):
    damage(folder, cut=500)
    with pytest.raises(ValueError, match=r"mnist\.npz is damaged"):
        mnist(full=True)


def test_a_missing_file_stays_a_missing_file(folder):
    with pytest.raises(FileNotFoundError):
        store.read(folder / "mnist.npz", KEYS)


def test_archives_of_a_classroom_are_used_as_they_are(folder):
    store.write(folder / "mnist.npz", small())
    images, labels = mnist("test", full=True)
    assert images.shape == (4, 1, 28, 28) and labels.shape == (4,)
    arrays = small((2, 32, 32, 3), labels=2)
    arrays["train_images"][1, 5, 7] = [10, 20, 30]
    store.write(folder / "cifar10.npz", arrays)
    for full in (True, False, None):  # at hand: no download to ask for
        images = cifar10(full=full).images
        assert images.is_contiguous()
        assert images[1, :, 5, 7].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"images": np.zeros(3)}, "expected an npz archive with train_images"),
        (small((4, 28, 28, 1)), r"expected uint8 \(4, 28, 28\)"),
        (small(labels=3), "train_labels has 3 entries"),
        (small(dtype=np.float32), "is float32"),
        (small(labels=(4, 1)), "expected integers"),
    ],
)
def test_archives_of_another_kind_are_refused(folder, arrays, message):
    store.write(folder / "mnist.npz", arrays)
    with pytest.raises(ValueError, match=message) as caught:
        mnist(full=True)
    assert str(folder / "mnist.npz") in str(caught.value)


@pytest.mark.parametrize("offsets", [[0, 5], [0, 3, 9], [1, 3, 10]])
def test_recordings_that_do_not_fit_are_refused(folder, offsets):
    arrays = {
        "waveforms": np.zeros(10, np.int16),
        "offsets": np.array(offsets),
        "names": np.array(["a", "b"]),
        "sample_rate": np.array(8000),
    }
    store.write(folder / "prompts.npz", arrays)
    with pytest.raises(ValueError, match=r"prompts\.npz.*do not fit"):
        prompts(full=True)
