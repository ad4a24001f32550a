#!/usr/bin/env python3
"""A checkd plugin without any library: the worker protocol with what Python brings along.

It offers one kind, `acme_backlog`, which counts the files that wait in a directory.
Requests are read from descriptor 0 and answered on descriptor 0.
"""

import json
import os

OPTIONS = {
    "type": "object",
    "properties": {
        "directory": {"type": "string", "description": "Where the orders wait."},
        "fail_above": {"type": "integer", "description": "Most orders that may wait."},
    },
    "required": ["directory", "fail_above"],
}
KIND = {
    "kind": "acme_backlog",
    "summary": "counts the orders that wait",
    "blocking": True,
    "options": OPTIONS,
    "example": 'directory = "/var/spool/orders-{index}"\nfail_above = 1000\n',
    "package": "acme-checks 1.4.0",
}
instances = {}


def tell(**message):
    """Writes one answer: one line of JSON, whole."""
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(0, line):]


def problems(options):
    """All that is wrong with options, at once."""
    for name in options:
        if name not in OPTIONS["properties"]:
            yield {"option": name, "message": "is no option of this check"}
    if not isinstance(options.get("directory"), str):
        yield {"option": "directory", "message": "must be a text"}
    limit = options.get("fail_above")
    if type(limit) is not int or limit < 0:
        yield {"option": "fail_above", "message": f"must be at least 0, found {limit}"}


def sample(options):
    """One run: one look, one answer."""
    limit = options["fail_above"]
    try:
        waiting = len(os.listdir(options["directory"]))
    except OSError as error:
        return {"status": "unknown", "cause": "misconfigured", "message": error.strerror}
    measured = {"name": "waiting", "value": waiting, "limit": limit}
    if waiting > limit:
        message = f"{waiting} orders wait, {limit} allowed"
        status = {"status": "fail", "cause": "wrong", "message": message}
    else:
        status = {"status": "pass", "message": f"{waiting} orders wait"}
    return {**status, "measurements": [measured]}


for line in open(0, "rb", closefd=False):
    ask = json.loads(line)
    what = ask["type"]
    if what == "hello" and 1 in ask["versions"]:
        tell(type="hello", version=1, plugin="acme-checks", release="1.4.0")
    elif what == "describe":
        tell(type="described", kinds=[KIND])
    elif what == "configure":
        wrong = list(problems(ask["options"]))
        if not wrong:
            instances[ask["instance"]] = ask["options"]
        tell(type="configured", instance=ask["instance"], problems=wrong)
    elif what == "submit":
        tell(type="sample", run=ask["run"], sample=sample(instances[ask["instance"]]))
    elif what == "drop":
        instances.pop(ask["instance"], None)
    elif what == "cancel":
        pass  # Each run is answered before the next request is read: this one has been.
    else:
        tell(type="error", message=f"unknown type `{what}`")
