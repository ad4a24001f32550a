"""A plugin that does what its kinds are called."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import List, Optional

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from checkd import Cause, Check, Port, Sample, Secret, Size, Span, main, option  # noqa: E402


class Passes(Check):
    """Says where it runs."""

    kind = "py_passes"
    summary = "passes"

    def run(self, context):
        return Sample.passed(str(os.getpid())).measure("left", context.remaining(), "s")


@dataclass
class Everything:
    """One option of each type."""

    port: Port = option(help="Where.")
    text: str = option("a", help="A text.", choices=["a", "b"])
    number: int = option(1, help="A number.", minimum=1, maximum=9)
    share: float = option(0.5, help="A share.")
    loud: bool = option(False, help="A switch.")
    age: Span = option("30s", help="A time.")
    room: Size = option("1MiB", help="A size.")
    token: Optional[Secret] = option(None, help="A secret.")
    names: List[str] = option([], help="Some names.")


class Typed(Check):
    """Says its options."""

    kind = "py_typed"
    summary = "says its options"
    Options = Everything

    def run(self, context):
        return Sample.passed(str(self.options))


class Raises(Check):
    """Raises."""

    kind = "py_raises"
    summary = "raises"

    def run(self, context):
        raise ValueError("on purpose")


class Exits(Raises):
    """Ends as a script would."""

    kind = "py_exits"

    def run(self, context):
        sys.exit("on purpose")


class Dies(Raises):
    """Ends the process."""

    kind = "py_dies"

    def run(self, context):
        print("before the end")
        os._exit(3)


class Hangs(Raises):
    """Hangs in itself."""

    kind = "py_hangs"

    def run(self, context):
        time.sleep(3600)


class Waits(Raises):
    """Hangs until it is given up."""

    kind = "py_waits"

    def run(self, context):
        return Sample.passed("given up" if context.wait(3600) else "slept")


class Prints(Raises):
    """Prints what looks like answers, and bytes that are no text."""

    kind = "py_prints"

    def run(self, context):
        print('{"type":"sample","run":1,"sample":{"status":"fail"}}')
        sys.stdout.buffer.write(b"\xff\xfe\n")
        for descriptor in (0, 1, 2):
            try:
                os.write(descriptor, b'{"type":"sing"}\n')
            except OSError:
                pass
        subprocess.run(["echo", '{"type":"sing"}'], check=True)
        logging.warning("a warning\nof two lines")
        return Sample.passed("printed")


class Forks(Raises):
    """Leaves a child that returns into the worker, and one that stays."""

    kind = "py_forks"

    def run(self, context):
        child = os.fork()
        if child == 0:
            print("hello from the child")
            return Sample.fail("from the child")
        os.waitpid(child, 0)
        return Sample.passed("from the parent")


class Closes(Raises):
    """Closes every descriptor that it can name."""

    kind = "py_closes"

    def run(self, context):
        os.closerange(0, 1024)
        return Sample.passed("closed")


class Nothing(Raises):
    """Returns nothing."""

    kind = "py_nothing"

    def run(self, context):
        return None


class Lies(Raises):
    """Says too much, and what JSON cannot say."""

    kind = "py_lies"

    def run(self, context):
        sample = Sample.fail("x" * 3_000_000 + "\udcff\n", Cause.WRONG)
        for number in range(1000):
            sample.measure(f"n{number}", float("nan"))
        return sample


class Refused(Raises):
    """Connects to where nobody listens."""

    kind = "py_refused"

    def run(self, context):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=context.remaining())


class Frozen(Raises):
    """Waits for a target that is silent."""

    kind = "py_frozen"

    def run(self, context):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            with socket.create_connection(silent.getsockname(), context.remaining()) as peer:
                peer.recv(1)


class Naive(Raises):
    """Waits for a target that is silent, without a timeout."""

    kind = "py_naive"

    def run(self, context):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            with socket.create_connection(silent.getsockname()) as peer:
                peer.recv(1)


class Async(Raises):
    """Waits without a thread."""

    kind = "py_async"

    async def run(self, context):
        await asyncio.sleep(0)
        return Sample.passed("async")


class AsyncFrozen(Raises):
    """Waits without a thread, for ever."""

    kind = "py_async_frozen"

    async def run(self, context):
        await asyncio.sleep(3600)


class Threads(Raises):
    """Leaves threads behind that never end."""

    kind = "py_threads"

    def run(self, context):
        threading.Thread(target=time.sleep, args=(3600,)).start()
        return Sample.passed("left one")


class RaisesEarly(Raises):
    """Raises when its options are read."""

    kind = "py_raises_early"

    def validate(self):
        raise ValueError("on purpose")


if __name__ == "__main__":
    main(
        Passes, Typed, Raises, Exits, Dies, Hangs, Waits, Prints, Forks, Closes, Nothing, Lies, Refused,
        Frozen, Naive, Async, AsyncFrozen, Threads, RaisesEarly,
        name="hostile", version="1.2.3",
    )  # fmt: skip
