"""The application that gunicorn serves in the tests: it can start slowly and leak."""

import os
import time

time.sleep(float(os.environ.get("START_DELAY", "0")))
leak = []


def app(environ, start_response):
    """`/grow/BYTES` leaks so many bytes in the worker that answers; all else is a greeting."""
    path = environ["PATH_INFO"]
    if path.startswith("/grow/"):
        leak.append(b"x" * int(path.removeprefix("/grow/")))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]
