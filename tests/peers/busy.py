"""A server whose workers say since when they are at a request.

A worker writes the file `BUSY/PID` when a request begins and takes it away when that ends. `GET /ping` is
200. `POST /wedge` never ends, and no signal that a program may catch ends its worker: gunicorn's own
handlers run and the request goes on, as one does that hangs in a library.
"""

import os
import time

place = os.environ["BUSY"]


def app(environ, start_response):
    """What the server answers."""
    os.makedirs(place, exist_ok=True)
    mine = os.path.join(place, str(os.getpid()))
    with open(mine, "w", encoding="ascii"):
        pass
    try:
        while environ["PATH_INFO"] == "/wedge":
            time.sleep(3600)
    finally:
        os.remove(mine)
    body = b"pong\n"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
