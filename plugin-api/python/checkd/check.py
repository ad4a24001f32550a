"""A check, and what a run is about."""

import re
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Generic, Iterable, Optional, Type, TypeVar, Union

from . import options as _options
from .options import Problem
from .sample import Sample

KIND = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
SCOPES = ("process", "host", "dependency")


@dataclass
class NoOptions:
    """The options of a check that has none."""


class Context:
    """What one run is about, and how much time it has."""

    def __init__(self, target: Dict[str, Any], timeout: float) -> None:
        self.group: str = target.get("group", "")
        self.member: Optional[str] = target.get("member")
        self.index: Optional[int] = target.get("index")
        self.pid: Optional[int] = target.get("pid")
        self.port: Optional[int] = target.get("port")
        self.timeout: float = timeout
        self.deadline: float = time.monotonic() + timeout
        self._cancelled = threading.Event()

    def remaining(self) -> float:
        """Seconds until the deadline, at least a thousandth: the timeout of a socket or a child."""
        return max(0.001, self.deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether the run was given up: its answer counts no more."""
        return self._cancelled.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleeps, but not beyond a cancel; true when the run was given up."""
        return self._cancelled.wait(seconds)


OptionsType = TypeVar("OptionsType")


class Check(Generic[OptionsType]):
    """One configured use of a check. Its life:

    1. The class describes itself: `kind`, `summary`, `scope`, `example` and `Options` are constants.
    2. The options are read, and every mistake is told at once. `validate` may find more.
       No file is opened and no connection made: this also happens when a configuration is only
       validated.
    3. `run` looks once, says what it saw, and is never run twice at a time for one instance.
       There is one instance for each check and member; what lives from run to run is in `self`.
       `async def run` is as good, and holds no thread while it waits.
    4. `close` is called when it is over.

    An exception in a run makes it unknown, with its message, and restarts nothing; but a timeout or a
    refused connection is the target's answer, and a fail.
    """

    kind: ClassVar[str] = ""
    """The name in a configuration: `[a-z][a-z0-9_-]*`, at most 64 characters."""

    summary: ClassVar[str] = ""
    """One line for a person: what it checks."""

    scope: ClassVar[str] = "process"
    """`process` (about a member), `host` (this machine), `dependency` (something others provide)."""

    example: ClassVar[str] = ""
    """The smallest honest use, as TOML."""

    Options: ClassVar[Type[Any]] = NoOptions
    """A dataclass of `option` fields."""

    def __init__(self, options: OptionsType) -> None:
        self.options = options

    def validate(self) -> Iterable[Union[Problem, "tuple[str, str]"]]:
        """Mistakes that no type can see, as `(option, message)`; none by default."""
        return ()

    def run(self, context: Context) -> Sample:
        """Looks once."""
        raise NotImplementedError(f"{type(self).__name__} has no `run`")

    def close(self) -> None:
        """Called once when the instance is forgotten."""


def describe(check: Type[Check], package: str = "") -> Dict[str, Any]:
    """What a kind says about itself.

    Raises `TypeError` where the class makes no sense: the author's mistake.
    """
    import inspect

    if not KIND.match(check.kind):
        raise TypeError(
            f"{check.__name__}.kind is `{check.kind}`: write [a-z][a-z0-9_-]*, at most 64 characters"
        )
    if check.scope not in SCOPES:
        raise TypeError(f"{check.__name__}.scope is `{check.scope}`: write one of {', '.join(SCOPES)}")
    return {
        "kind": check.kind,
        "summary": check.summary,
        "scope": check.scope,
        "passive": False,
        "blocking": not inspect.iscoroutinefunction(check.run),
        "options": _options.schema(check.Options),
        "example": check.example,
        "package": package,
    }


def configure(check: Type[Check], written: Dict[str, Any]) -> "tuple[Optional[Check], list[Problem]]":
    """An instance, or every mistake in its options."""
    options, problems = _options.read(check.Options, written)
    if problems:
        return None, problems
    made = check(options)
    found = [Problem(*one) for one in made.validate() or ()]
    return (None, found) if found else (made, [])
