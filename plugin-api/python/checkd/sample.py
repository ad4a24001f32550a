"""What one run says: a status, why, a line for a person, and what was measured."""

import math
import re
from enum import Enum
from typing import Any, Dict, List, Optional

MESSAGE_MAX = 4096
"""Bytes of a message that the host keeps."""

MEASUREMENTS_MAX = 64
"""Measurements of one sample that the host keeps."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


class Status(str, Enum):
    """How it stands."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Cause(str, Enum):
    """Why it is no pass. The first four are the target's fault, with the others nobody could look."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    WRONG = "wrong"
    STALE = "stale"
    NO_PERMISSION = "no_permission"
    MISCONFIGURED = "misconfigured"
    CRASHED = "crashed"
    OVERRAN = "overran"


_OF_THE_TARGET = frozenset([Cause.TIMEOUT, Cause.REFUSED, Cause.WRONG, Cause.STALE])


class Sample:
    """One run's answer. Made by `Sample.passed`, `warn`, `fail` and `unknown`.

    The difference between a fail and an unknown is the most important one: enough fails in a row
    restart a member, an unknown never restarts anything. Ask whether a restart could help.
    """

    __slots__ = ("status", "cause", "message", "measurements")

    def __init__(self, status: Status, cause: Optional[Cause], message: str) -> None:
        self.status = status
        self.cause = cause
        self.message = str(message)
        self.measurements: List[Dict[str, Any]] = []

    @classmethod
    def passed(cls, message: str = "") -> "Sample":
        """All is well."""
        return cls(Status.PASS, None, message)

    @classmethod
    def warn(cls, message: str, cause: Cause = Cause.WRONG) -> "Sample":
        """Worth a look; counts as a pass."""
        return cls(Status.WARN, _fitting(Status.WARN, cause), message)

    @classmethod
    def fail(cls, message: str, cause: Cause = Cause.WRONG) -> "Sample":
        """The target is silent, refuses, or answers wrongly."""
        return cls(Status.FAIL, _fitting(Status.FAIL, cause), message)

    @classmethod
    def unknown(cls, message: str, cause: Cause = Cause.MISCONFIGURED) -> "Sample":
        """Nobody could look: no permission, no such file, not known yet. Restarts nothing."""
        return cls(Status.UNKNOWN, _fitting(Status.UNKNOWN, cause), message)

    def measure(
        self, name: str, value: float, unit: str = "", limit: Optional[float] = None
    ) -> "Sample":
        """Adds a number, with the limit that it was judged against; returns the sample itself.

        `name` is `[a-z][a-z0-9_]*` of at most 64 characters. A number that is not finite is left out
        by the host.
        """
        if not _NAME.match(name):
            raise ValueError(f"`{name}` is no name of a measurement: [a-z][a-z0-9_]*, at most 64")
        one = {"name": name, "value": _finite(value), "unit": one_line(unit), "limit": _finite(limit)}
        self.measurements.append(one)
        return self

    def blame(self, pid: int, start: Optional[int] = None) -> "Sample":
        """Names a process of the member as the one at fault; returns the sample itself.

        A group with `signal` in its policy sends it that signal before it restarts the member. `start`
        is its start time, field 22 of `/proc/PID/stat`, so that no other process is ever meant; without
        it that is looked up now, and a process that is gone is not named. Of at most eight.
        """
        start = started(pid) if start is None else start
        if start is None:
            return self
        return self.measure("blamed", pid, "pid", limit=start)

    def to_json(self) -> Dict[str, Any]:
        """As it goes to the host."""
        return {
            "status": self.status.value,
            "cause": self.cause.value if self.cause else None,
            "message": one_line(self.message),
            "measurements": self.measurements[:MEASUREMENTS_MAX],
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sample) and self.to_json() == other.to_json()

    def __repr__(self) -> str:
        cause = f" ({self.cause.value})" if self.cause else ""
        return f"<Sample {self.status.value}{cause}: {self.message}>"


def started(pid: int) -> Optional[int]:
    """When a process began, in clock ticks since the machine did; nothing when it is gone."""
    try:
        with open(f"/proc/{int(pid)}/stat", "rb") as stat:
            # Its name, in parentheses, may hold anything.
            fields = stat.read().rpartition(b")")[2].split()
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def _fitting(status: Status, cause: Cause) -> Cause:
    cause = Cause(cause)
    if (cause in _OF_THE_TARGET) != (status is not Status.UNKNOWN):
        raise ValueError(f"cause `{cause.value}` does not go with {status.value}")
    return cause


def _finite(value: Optional[float]) -> Optional[float]:
    if value is None:
        return None
    value = value if isinstance(value, int) and abs(value) < 2**63 else float(value)
    return value if math.isfinite(value) else None


def one_line(text: str) -> str:
    """A text as one line that the host keeps whole."""
    text = " ".join(str(text).split())
    cut = text.encode("utf-8", "replace")[:MESSAGE_MAX]
    return cut.decode("utf-8", "ignore")
