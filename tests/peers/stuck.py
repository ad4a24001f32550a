"""A plugin for checkd: workers that have been at one request for too long, each blamed by its pid."""

import os
import sys
import time
from dataclasses import dataclass

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../plugin-api/python"))

from checkd import Check, Sample, Span, main, option  # noqa: E402


@dataclass
class Options:
    """What to look at."""

    place: str = option(help="Where each worker keeps a file of its pid's name while it is at a request.")
    longest: Span = option("1s", help="How long a request may take.")


class Stuck(Check):
    """No worker of the member is at one request for too long."""

    kind = "stuck_workers"
    summary = "no worker is at one request for too long"
    Options = Options

    def run(self, context):
        stuck, now = [], time.time()
        with open(f"/proc/{context.pid}/task/{context.pid}/children", encoding="ascii") as children:
            workers = [int(pid) for pid in children.read().split()]
        for pid in workers:
            try:
                since = os.stat(os.path.join(self.options.place, str(pid))).st_mtime
            except FileNotFoundError:
                continue
            if now - since > self.options.longest:
                stuck.append(pid)
        if not stuck:
            return Sample.passed(f"{len(workers)} workers")
        told = ", ".join(map(str, stuck))
        sample = Sample.fail(f"of {len(workers)} workers stuck at a request: {told}")
        for pid in stuck:
            sample.blame(pid)
        return sample


main(Stuck)
