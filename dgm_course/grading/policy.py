"""What late work loses."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Policy:
    """A late policy.

    Attributes:
        deadline: With a time zone.
        per_day: Share of the earned points lost for each day that began.
        most: The largest share that is lost.
        grace_minutes: Nothing is lost so long after the deadline.
    """

    deadline: datetime
    per_day: float = 0.1
    most: float = 1.0
    grace_minutes: float = 0.0

    def days_late(self, time: datetime) -> int:
        """Return how many days after the deadline have begun."""
        late = time - self.deadline
        if late <= timedelta(minutes=self.grace_minutes):
            return 0
        return math.ceil(late / timedelta(days=1))

    def share_lost(self, time: datetime) -> float:
        """Return the share of the points that is lost."""
        return min(self.most, self.per_day * self.days_late(time))


def read(path: Path) -> Policy:
    """Read a policy from a TOML file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no policy, with what one looks like.
    """
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}. {_EXAMPLE}") from error
    unknown = set(content) - {f.name for f in fields(Policy)}
    deadline = content.get("deadline")
    if unknown or not isinstance(deadline, datetime):
        what = f"unknown: {', '.join(sorted(unknown))}" if unknown else ""
        raise ValueError(f"{path} is no late policy. {what} {_EXAMPLE}")
    if deadline.tzinfo is None:
        raise ValueError(f"{path}: deadline needs a time zone. {_EXAMPLE}")
    numbers = {k: v for k, v in content.items() if k != "deadline"}
    for name, value in numbers.items():
        limit = 1.0 if name != "grace_minutes" else math.inf
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not 0 <= value <= limit:
            raise ValueError(f"{path}: {name} = {value!r}. {_EXAMPLE}")
    return Policy(deadline, **numbers)


_EXAMPLE = (
    "Write: deadline = 2026-12-01T23:59:00+03:00, and if wanted per_day = "
    "0.1 and most = 0.5 (shares of the points), grace_minutes = 15"
)
