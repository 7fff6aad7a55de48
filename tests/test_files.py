"""Files are either whole or not there, and others may read them."""

import os
import stat

import pytest

from dgm_course import files


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_file_has_the_mode_of_every_other_new_file(tmp_path):
    """A temporary file is private; what is shared must not be."""
    plain, written = tmp_path / "plain", tmp_path / "written"
    plain.write_bytes(b"")
    with files.atomic_write(written) as file:
        file.write(b"")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (plain, written)]
    assert modes[0] == modes[1]
