import pytest

from dgm_course.profile import current_profile, profile


@pytest.mark.parametrize("name", ["smoke", "read", "full"])
def test_profile_is_read_at_each_call(monkeypatch, name):
    monkeypatch.setenv("DGM_PROFILE", name)
    assert profile(smoke="smoke", read="read", full="full") == name


def test_default_and_unknown(monkeypatch):
    monkeypatch.delenv("DGM_PROFILE")
    assert current_profile() == "read"
    monkeypatch.setenv("DGM_PROFILE", "fast")
    with pytest.raises(ValueError, match="'fast' is not a profile; set it to"):
        profile(smoke=1, read=2, full=3)
