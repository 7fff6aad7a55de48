"""How much to compute: ``DGM_PROFILE`` is ``smoke``, ``read`` or ``full``."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
PROFILES = ("smoke", "read", "full")


def current_profile() -> str:
    """Return the profile named by ``DGM_PROFILE`` (default ``read``).

    ``smoke`` trains for a few steps (tests), ``read`` trains only what takes
    seconds (the built book), ``full`` trains from scratch.

    Raises:
        ValueError: If ``DGM_PROFILE`` holds any other value.
    """
    name = os.environ.get("DGM_PROFILE", "read")
    if name not in PROFILES:
        raise ValueError(
            f"DGM_PROFILE={name!r} is not a profile; "
            f"set it to one of {', '.join(PROFILES)}"
        )
    return name


def is_static() -> bool:
    """Return whether the book is built: no kernel later, no progress bars."""
    return os.environ.get("DGM_STATIC") == "1"


def is_quiet(progress: bool) -> bool:
    """Return whether no bar shows: nobody asked for it, or nobody watches."""
    return not progress or is_static()


def profile(*, smoke: T, read: T, full: T) -> T:
    """Choose a value by profile; the variable is read at each call.

    Example:
        >>> import os
        >>> os.environ["DGM_PROFILE"] = "smoke"
        >>> profile(smoke=2, read=300, full=30_000)
        2
        >>> del os.environ["DGM_PROFILE"]
    """
    return {"smoke": smoke, "read": read, "full": full}[current_profile()]
