"""The worker: speaks the protocol on descriptor 0 until its end, and runs checks meanwhile.

Whatever a check does costs that run at most: what it prints is a line of the host's log, what it
raises makes the run unknown, and a thread that hangs does not keep the process alive.
"""

import asyncio
import errno
import json
import logging
import os
import socket
import sys
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Type

from . import check as _check
from .check import Check, Context
from .sample import Cause, Sample, one_line
from .silence import Watch

VERSION = 1
"""The version of the worker protocol that is spoken here."""

LINE_MAX = 1 << 20
"""Bytes of one line of the protocol."""

BLOCKING_MAX = 16
"""Runs with a thread at a time; the host asks for no more."""

GRACE = 0.5
"""Seconds in which a cancelled run may end by itself."""

log = logging.getLogger("checkd")


def main(*checks: Type[Check], name: str = "", version: str = "") -> None:
    """Serves these checks until the host ends the stream; never returns.

    `name` and `version` are the plugin's own, for people; by default the script's name.
    """
    name = name or os.path.splitext(os.path.basename(sys.argv[0]))[0]
    package = f"{name} {version}".strip()
    try:
        described = [_check.describe(one, package) for one in checks]
    except TypeError as error:
        sys.exit(f"error: {error}")
    stream = _take_stream()
    if stream is None:
        _tell_a_person(name, [one["kind"] for one in described])
        sys.exit(2)
    Worker(stream, {one.kind: one for one in checks}, described, name, version).serve()


def _tell_a_person(name: str, kinds: List[str]) -> None:
    script = sys.argv[0]
    said = (
        f"{name} is a plugin of checkd, which starts it itself. It offers: {', '.join(kinds) or 'nothing'}.\n"
        f"look at it:  checkd kinds --plugin {script}\n"
        f"test it:     python3 -m checkd.test {script}\n"
    )
    sys.stderr.write(said)


def _take_stream() -> Optional[socket.socket]:
    """Takes the stream off descriptor 0, where a check or its children would find it."""
    try:
        stream = socket.socket(fileno=os.dup(0))
    except OSError:
        return None
    if stream.family != socket.AF_UNIX or stream.type != socket.SOCK_STREAM:
        return None
    stream.setblocking(True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0, inheritable=True)
    os.close(nothing)
    return stream


class _Run:
    """A run under way: who answers first, answers."""

    def __init__(self, number: int, context: Context) -> None:
        self.number = number
        self.context = context
        self.answered = False


class Worker:
    """One life of the process."""

    def __init__(
        self,
        stream: socket.socket,
        kinds: Dict[str, Type[Check]],
        described: List[Dict[str, Any]],
        name: str,
        version: str,
    ) -> None:
        self._stream = stream
        self._kinds = kinds
        self._described = described
        from . import __version__

        python = ".".join(str(part) for part in sys.version_info[:2])
        self._hello = {
            "type": "hello",
            "version": VERSION,
            "plugin": name,
            "release": version,
            "built_with": f"checkd for Python {__version__}, Python {python}",
        }
        self._pid = os.getpid()
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._instances: Dict[int, Any] = {}
        self._runs: Dict[int, _Run] = {}
        # Instances are made and forgotten one after the other, beside the runs of others.
        self._maker = ThreadPoolExecutor(1, "checkd-configure")
        self._pool = ThreadPoolExecutor(BLOCKING_MAX, "checkd-run")
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._watch = Watch()
        # Instances whose thread is in a run, also one that was answered without it.
        self._busy: Dict[int, int] = {}

    def serve(self) -> None:
        """Reads requests until the end of the stream, which is the end of this process."""
        os.register_at_fork(after_in_child=self._forked)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        root = logging.getLogger()
        root.addHandler(_ToHost(self))
        root.setLevel(logging.INFO)
        try:
            with self._stream.makefile("rb", 1 << 16) as lines:
                while True:
                    line = lines.readline(LINE_MAX + 2)
                    if not line or len(line) > LINE_MAX + 1:
                        break
                    self._take(line)
        except OSError:
            pass  # The host is gone, as at the end of the stream.
        except KeyboardInterrupt:
            pass
        finally:
            # Not `sys.exit`: a thread that hangs would be waited for.
            sys.stdout.flush()
            os._exit(0)

    def _take(self, line: bytes) -> None:
        try:
            ask = json.loads(line)
            what = ask["type"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self.tell(type="error", message=f"no message of the protocol: {error!r}")
            return
        if what == "hello":
            if VERSION in ask.get("versions", ()):
                self.tell(**self._hello)
            else:
                self.tell(type="error", message=f"this worker speaks version {VERSION} of the protocol")
        elif what == "describe":
            self.tell(type="described", kinds=self._described)
        elif what == "configure":
            self._maker.submit(self._guarded, self._configure, ask)
        elif what == "drop":
            self._maker.submit(self._guarded, self._drop, ask["instance"])
        elif what == "submit":
            self._submit(ask)
        elif what == "cancel":
            self._cancel(ask["run"])
        else:
            self.tell(type="error", message=f"unknown type `{what}`")

    def tell(self, **message: Any) -> None:
        """Writes one message; nothing in a process that was forked off."""
        if os.getpid() != self._pid:
            return
        line = json.dumps(message, allow_nan=False).encode() + b"\n"
        with self._writing:
            try:
                self._stream.sendall(line)
            except OSError as error:
                # The host is gone, or a check closed the stream under us: nothing can be said any more.
                gone = error.errno in (errno.EPIPE, errno.ECONNRESET)
                os._exit(0 if gone else 1)

    def _guarded(self, what: Any, *arguments: Any) -> None:
        try:
            what(*arguments)
        except BaseException:
            log.error("the worker itself broke: %s", one_line(traceback.format_exc()))

    def _configure(self, ask: Dict[str, Any]) -> None:
        instance, problems = None, []
        kind = self._kinds.get(ask["kind"])
        if kind is None:
            problems = [_check.Problem(None, f"this plugin has no kind `{ask['kind']}`")]
        else:
            try:
                instance, problems = _check.configure(kind, ask["options"])
            except BaseException as error:
                problems = [_check.Problem(None, _raised(error))]
        if instance is not None:
            with self._lock:
                self._instances[ask["instance"]] = (instance, ask.get("target") or {})
        told = [{"option": p.option, "message": one_line(p.message), "help": p.help} for p in problems]
        self.tell(type="configured", instance=ask["instance"], problems=told)

    def _drop(self, number: int) -> None:
        with self._lock:
            instance, _ = self._instances.pop(number, (None, None))
        if instance is not None:
            instance.close()

    def _submit(self, ask: Dict[str, Any]) -> None:
        with self._lock:
            instance, target = self._instances.get(ask["instance"], (None, None))
        context = Context(target or {}, ask["timeout_ms"] / 1000)
        run = _Run(ask["run"], context)
        with self._lock:
            self._runs[run.number] = run
        if instance is None:
            self._answer(run, Sample.unknown(f"there is no instance {ask['instance']}", Cause.CRASHED))
        elif asyncio.iscoroutinefunction(instance.run):
            asyncio.run_coroutine_threadsafe(self._run_async(run, instance), self._event_loop())
        elif ask["instance"] in self._busy:
            # The host replaces us then.
            self._answer(run, Sample.unknown("the run before this one still hangs", Cause.OVERRAN))
        else:
            self._busy[ask["instance"]] = run.number
            self._pool.submit(self._run_blocking, run, instance, ask["instance"])

    def _run_blocking(self, run: _Run, instance: Check, number: int) -> None:
        silent = Sample.fail(f"no answer within {run.context.timeout:g}s", Cause.TIMEOUT)
        self._watch.at(
            run.context.deadline, lambda: run.answered, lambda: self._answer(run, silent)
        )
        try:
            sample = _sample(instance.run(run.context))
        except BaseException as error:
            sample = _of_exception(error)
        if os.getpid() != self._pid:
            # The check forked, and this is the child's copy of the run.
            os._exit(0)
        self._busy.pop(number, None)
        self._answer(run, sample)

    async def _run_async(self, run: _Run, instance: Check) -> None:
        task = asyncio.ensure_future(instance.run(run.context))  # type: ignore[arg-type]
        try:
            done, _ = await asyncio.wait([task], timeout=run.context.remaining())
            if done:
                sample = _sample(task.result())
            else:
                task.cancel()
                waited = f"no answer within {run.context.timeout:g}s"
                sample = Sample.fail(waited, Cause.TIMEOUT)
        except BaseException as error:
            sample = _of_exception(error)
        self._answer(run, sample)

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="checkd-async", daemon=True).start()
        return self._loop

    def _answer(self, run: _Run, sample: Sample) -> None:
        with self._lock:
            if run.answered:
                return
            run.answered = True
            self._runs.pop(run.number, None)
        self.tell(type="sample", run=run.number, sample=sample.to_json())

    def _cancel(self, number: int) -> None:
        with self._lock:
            run = self._runs.get(number)
        if run is None:
            return
        run.context._cancelled.set()
        # It may end by itself now; a thread that hangs on is said to, so that the host replaces us.
        hangs = Sample.unknown("the run was given up and hangs", Cause.OVERRAN)
        timer = threading.Timer(GRACE, self._answer, (run, hangs))
        timer.daemon = True
        timer.start()

    def _forked(self) -> None:
        # In a child: the stream is its parent's. A lock that another thread held stays held here.
        self._stream.close()
        self._writing = threading.Lock()
        self._lock = threading.Lock()


class _ToHost(logging.Handler):
    """What is logged goes to the host's log with its level."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            level = "error"
        elif record.levelno >= logging.WARNING:
            level = "warn"
        else:
            level = "info" if record.levelno >= logging.INFO else "debug"
        try:
            self._worker.tell(type="log", level=level, message=one_line(self.format(record)))
        except Exception:
            self.handleError(record)


def _sample(said: Any) -> Sample:
    if isinstance(said, Sample):
        return said
    return Sample.unknown(f"`run` returned {said!r}, which is no Sample", Cause.CRASHED)


def _of_exception(error: BaseException) -> Sample:
    """What an exception of a run says: whose fault it was."""
    # What urllib wraps.
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        error = inner
    if isinstance(error, (TimeoutError, socket.timeout, asyncio.TimeoutError)):
        return Sample.fail(str(error) or "no answer in time", Cause.TIMEOUT)
    if isinstance(error, ConnectionRefusedError):
        return Sample.fail("connection refused", Cause.REFUSED)
    if isinstance(error, ConnectionError):
        return Sample.fail(error.strerror or str(error), Cause.WRONG)
    if isinstance(error, PermissionError):
        return Sample.unknown(str(error), Cause.NO_PERMISSION)
    return Sample.unknown(_raised(error), Cause.CRASHED)


def _raised(error: BaseException) -> str:
    """`ValueError: what it says (checks.py:31)`."""
    where = ""
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})"
    return f"{type(error).__name__}: {error}{where}" if str(error) else f"{type(error).__name__}{where}"
