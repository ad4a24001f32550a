"""Whether a blocking run that is at its deadline waits for its target, or for itself.

A thread that waits in a system call for somebody else waits for its target, and a target that does
not answer in time is a fail. A thread that computes, sleeps or waits for a lock says nothing about
it: that run is the host's to judge, and unknown.
"""

import heapq
import itertools
import platform
import threading
import time
from typing import Any, Callable, List, Optional, Tuple

LOOKS = 5
"""Looks at a thread, all of which must show it waiting."""

BETWEEN = 0.02
"""Seconds between two looks."""

# Numbers of system calls: waiting for a clock or a thread of our own; for descriptors, with how many
# in the first argument; writing.
_CALLS = {
    "x86_64": ({202, 35, 230, 449, 455}, {23, 270}, {1, 20}),
    "aarch64": ({98, 101, 115, 449, 455}, {72}, {64, 66}),
}.get(platform.machine(), (set(), set(), set()))


def waits(thread: int) -> bool:
    """Whether a thread of this process, by its native id, waits in the kernel for somebody else."""
    try:
        with open(f"/proc/self/task/{thread}/stat") as file:
            # The name may hold anything, so the state is behind the last parenthesis.
            state = file.read().rpartition(") ")[2][:1]
        if state not in ("S", "D"):
            return False
        with open(f"/proc/self/task/{thread}/syscall") as file:
            return not says_nothing(file.read())
    except OSError:
        return False


def says_nothing(call: str) -> bool:
    """Whether this system call, a line of `/proc/…/syscall`, says nothing about a target."""
    number, first = (call.split() + ["", ""])[:2]
    if not number.isdigit():
        return number in ("running", "-1", "")
    of_itself, select, write = _CALLS
    return (
        int(number) in of_itself
        or (int(number) in select and first == "0x0")
        or (int(number) in write and first in ("0x1", "0x2"))
    )


class Watch:
    """Looks at the threads of runs when their time is up; one small thread for all of them."""

    def __init__(self) -> None:
        self._due: List[Tuple[float, int, int, Callable[[], bool], Callable[[], Any]]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None

    def at(self, deadline: float, over: Callable[[], bool], silent: Callable[[], Any]) -> None:
        """Calls `silent` after `deadline` (of `time.monotonic`) when the calling thread then waits
        for somebody else and `over` is not true."""
        with self._changed:
            entry = (deadline, next(self._number), threading.get_native_id(), over, silent)
            heapq.heappush(self._due, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="checkd-watch", daemon=True)
                self._thread.start()
            if self._due[0] is entry:
                self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    left = self._due[0][0] - time.monotonic() if self._due else None
                    self._changed.wait(left)
                now, due = time.monotonic(), []
                while self._due and self._due[0][0] <= now:
                    due.append(heapq.heappop(self._due))
            waiting = [one for one in due if not one[3]()]
            for look in range(LOOKS):
                if look and waiting:
                    time.sleep(BETWEEN)
                waiting = [one for one in waiting if not one[3]() and waits(one[2])]
            for one in waiting:
                one[4]()
