"""For an author's own tests: the contract of every check, and runs without a host.

In a test::

    import unittest
    from checkd import test

    class SpoolTest(unittest.TestCase):
        def test_it_holds_the_contract(self):
            test.contract(Spool, {"directory": "/"})

        def test_a_run(self):
            self.assertEqual(test.run(Spool, {"directory": "/"}).status, Status.PASS)

From a shell, on a whole plugin, started as checkd starts it::

    python3 -m checkd.test checks.py
"""

import json
import os
import runpy
import select
import socket
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

from . import check as _check
from . import worker as _worker
from .check import Check, Context
from .options import Problem
from .sample import Sample

ANSWER = 20.0
"""Seconds that a plugin may take for an answer, on a machine that may be busy."""

TARGET = {"group": "shop", "member": "shop-0", "index": 0, "pid": os.getpid(), "port": 8100}
"""What a run is about when a test does not say."""


class Broken(AssertionError):
    """A clause of the contract that does not hold."""


def problems(check: Type[Check], options: Dict[str, Any]) -> List[Problem]:
    """Every mistake in these options."""
    return _check.configure(check, options)[1]


def run(check: Type[Check], options: Dict[str, Any], timeout: float = 5.0, **target: Any) -> Sample:
    """One run, as the worker makes it: an exception is a sample too."""
    made, wrong = _check.configure(check, options)
    if made is None:
        raise Broken(f"the options are refused: {wrong}")
    context = Context({**TARGET, **target}, timeout)
    try:
        said = made.run(context)
        if hasattr(said, "__await__"):
            import asyncio

            said = asyncio.run(_within(said, timeout))
        return _worker._sample(said)
    except Exception as error:
        return _worker._of_exception(error)
    finally:
        made.close()


async def _within(run: Any, timeout: float) -> Any:
    import asyncio

    return await asyncio.wait_for(run, timeout)


def contract(check: Type[Check], options: Optional[Dict[str, Any]] = None) -> None:
    """Holds a check to what every check promises; `options` are good ones, else those of its example.

    Raises `Broken` with the first clause that does not hold, and why.
    """
    for clause, why in clauses(check, options):
        if why is not None:
            raise Broken(f"{clause}: {why}")


def clauses(check: Type[Check], options: Optional[Dict[str, Any]] = None) -> Iterator[Tuple[str, Optional[str]]]:
    """Each clause with what broke it, or `None`."""
    made: Dict[str, Any] = {}
    for words, clause in (
        ("it describes itself", _describes),
        ("every option is described", _options_described),
        ("its example is accepted", _example),
        ("unknown options are refused by name", _unknown_refused),
        ("a run says one sample", _runs),
    ):
        try:
            why = clause(check, options, made)
        except Exception as error:
            why = _worker._raised(error)
        yield words, why


def _describes(check: Type[Check], options: Any, made: Any) -> Optional[str]:
    said = _check.describe(check)
    if not said["summary"].strip():
        return f"{check.__name__}.summary is empty"
    if len(said["summary"].splitlines()) > 1:
        return f"{check.__name__}.summary is more than a line"
    return None if _check.describe(check) == said else "it describes itself otherwise the second time"


def _options_described(check: Type[Check], options: Any, made: Any) -> Optional[str]:
    for name, one in _check.describe(check)["options"]["properties"].items():
        if not one["description"].strip():
            return f"option `{name}` has no help"
    return None


def _example(check: Type[Check], options: Any, made: Dict[str, Any]) -> Optional[str]:
    example = read_toml(check.example)
    if example is None:
        return None  # Only Python 3.11 brings a reader of TOML along.
    written = json.loads(json.dumps(example), object_hook=_resolved)
    for name, value in written.items():
        if isinstance(value, str):
            for placeholder, stands in TARGET.items():
                value = value.replace("{" + placeholder + "}", str(stands))
            written[name] = value
    made["options"] = written
    wrong = problems(check, written)
    return None if not wrong else f"{wrong[0].option}: {wrong[0].message}"


def _resolved(table: Dict[str, Any]) -> Any:
    return "secret" if set(table) in ({"file"}, {"env"}) else table


def _unknown_refused(check: Type[Check], options: Any, made: Any) -> Optional[str]:
    wrong = problems(check, {**(options or {}), "no_such_option": 1})
    named = [one for one in wrong if one.option == "no_such_option"]
    return None if named else "`no_such_option` was taken"


def _runs(check: Type[Check], options: Any, made: Dict[str, Any]) -> Optional[str]:
    written = made.get("options") if options is None else options
    if written is None:
        return "give `contract` options to run with"
    sample = run(check, written)
    if sample.cause is not None and sample.cause.value == "crashed":
        return sample.message
    return None if sample.message.strip() or sample.status.value == "pass" else "it does not say why"


def read_toml(text: str) -> Optional[Dict[str, Any]]:
    """A table in TOML; `None` where Python has no reader of it."""
    try:
        import tomllib
    except ImportError:
        return None
    return tomllib.loads(text)


class Host:
    """A host for tests: starts a plugin as checkd does and speaks to it."""

    def __init__(self, *command: str) -> None:
        ours, theirs = socket.socketpair()
        self._stream = ours
        self._buffer = b""
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        theirs.close()
        self.logged: List[Dict[str, Any]] = []

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()

    def say(self, **message: Any) -> None:
        """Sends one request."""
        self.send(json.dumps(message).encode() + b"\n")

    def send(self, line: bytes) -> None:
        """Sends bytes as they are."""
        self._stream.sendall(line)

    def hear(self, patience: float = ANSWER) -> Dict[str, Any]:
        """The next answer; lines of the log are put aside."""
        until = time.monotonic() + patience
        while True:
            while b"\n" not in self._buffer:
                left = until - time.monotonic()
                if left <= 0 or not select.select([self._stream], [], [], left)[0]:
                    raise Broken(f"no answer within {patience:g}s")
                more = self._stream.recv(1 << 16)
                if not more:
                    raise EOFError("the plugin ended")
                self._buffer += more
            line, self._buffer = self._buffer.split(b"\n", 1)
            message = json.loads(line)
            if message["type"] != "log":
                return message
            self.logged.append(message)

    def ask(self, **message: Any) -> Dict[str, Any]:
        """Sends one request and waits for its answer."""
        self.say(**message)
        return self.hear()

    def greet(self) -> List[Dict[str, Any]]:
        """Says hello, and asks for the kinds."""
        self.ask(type="hello", versions=[_worker.VERSION])
        return self.ask(type="describe")["kinds"]

    def configure(self, instance: int, kind: str, options: Dict[str, Any]) -> List[Dict[str, Any]]:
        """Makes an instance: what is wrong with its options."""
        told = self.ask(type="configure", instance=instance, kind=kind, options=options, target=TARGET)
        return told["problems"]

    def submit(self, run: int, instance: int, timeout: float = 5.0) -> None:
        """Begins a run."""
        self.say(type="submit", run=run, instance=instance, timeout_ms=int(timeout * 1000))

    def run(self, run: int, instance: int, timeout: float = 5.0) -> Dict[str, Any]:
        """One run: its sample."""
        self.submit(run, instance, timeout)
        answer = self.hear()
        if answer["type"] != "sample" or answer["run"] != run:
            raise Broken(f"run {run} was answered with {answer}")
        return answer["sample"]

    def end(self, patience: float = ANSWER) -> Tuple[int, str]:
        """Ends the stream, and with it the plugin: its exit code, and what it printed."""
        self._stream.close()
        try:
            output, _ = self.process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise Broken(f"the plugin lives on {patience:g}s after the end of its stream") from None
        return self.process.returncode, output.decode("utf-8", "replace")


def plugin(path: str) -> Iterator[Tuple[str, Optional[str]]]:
    """Each clause about a whole plugin, with what broke it, or `None`."""
    found: List[Type[Check]] = []
    taken = _worker.main
    try:
        # What the plugin serves is what it hands to `main`.
        import checkd

        stub: Callable[..., None] = lambda *checks, **_: found.extend(checks)
        checkd.main = _worker.main = stub  # type: ignore[assignment]
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
        runpy.run_path(path, run_name="__main__")
    finally:
        checkd.main = _worker.main = taken  # type: ignore[assignment]
    yield "it serves a check", None if found else "it hands no check to `main`"
    for check in found:
        for words, why in clauses(check):
            yield f"{check.kind}: {words}", why
    yield "it starts, answers, and ends with its stream", _whole(path, found)


def _whole(path: str, checks: List[Type[Check]]) -> Optional[str]:
    try:
        with Host(sys.executable, path) as host:
            kinds = [one["kind"] for one in host.greet()]
            if kinds != [one.kind for one in checks]:
                return f"it offers {kinds}"
            for number, kind in enumerate(kinds, 1):
                wrong = host.configure(number, kind, {"no_such_option": 1})
                if not any(one["option"] == "no_such_option" for one in wrong):
                    return f"{kind} takes `no_such_option`"
            code, output = host.end()
            return None if code == 0 else f"it exits with {code}: {output}"
    except (Broken, EOFError, OSError) as error:
        return str(error)


def _main(arguments: List[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python3 -m checkd.test FILE\n")
        return 2
    broken = 0
    for words, why in plugin(arguments[0]):
        broken += why is not None
        sys.stdout.write(f"ok      {words}\n" if why is None else f"BROKEN  {words}: {why}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
