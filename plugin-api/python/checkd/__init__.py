"""Write checks for checkd in Python.

A check is a class with a `run`, its options are a dataclass, its answer is a `Sample`::

    from dataclasses import dataclass
    from checkd import Check, Context, Sample, main, option

    @dataclass
    class Options:
        path: str = option(help="The file that must be there.")

    class There(Check):
        kind = "acme_there"
        summary = "a file is there"
        example = 'path = "/run/acme/{member}.pid"'
        Options = Options

        def run(self, context: Context) -> Sample:
            ...

    if __name__ == "__main__":
        main(There)

Needs nothing but Python 3.8. `checkd.test` holds a check to what every check promises.
"""

from .check import Check, Context
from .options import Percent, Port, Problem, Secret, Size, Span, option
from .sample import Cause, Sample, Status
from .worker import main

__version__ = "1.0.0"

__all__ = [
    "Cause",
    "Check",
    "Context",
    "Percent",
    "Port",
    "Problem",
    "Sample",
    "Secret",
    "Size",
    "Span",
    "Status",
    "main",
    "option",
]
