"""The demonstration's member: a small job server that can be broken from outside.

It answers HTTP on the port that it is given, and a second thread works off the files in its spool
directory. `POST /wedge` ends that second thread: the server goes on to answer pings while its work
piles up, which is what many real servers do. The tests break it in further ways. It writes its own log, one JSON line per start, request
and stop, with its pid and the time, so that nobody has to take a supervisor's word for what happened.
"""

import argparse
import http.server
import json
import os
import pathlib
import signal
import socketserver
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--log", type=pathlib.Path, required=True)
parser.add_argument("--spool", type=pathlib.Path, help="directory whose files are work to do")
parser.add_argument("--slow-start", type=float, default=0, help="seconds before it listens")
arguments = parser.parse_args()

arguments.log.parent.mkdir(parents=True, exist_ok=True)
log = os.open(arguments.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
wedged = threading.Event()
sick = threading.Event()
ballast = []


def record(event, **more):
    """One line, written at once: the log is read while the server runs, and after it was killed."""
    line = {"time": time.clock_gettime(time.CLOCK_BOOTTIME), "pid": os.getpid(), "event": event}
    os.write(log, (json.dumps(line | more) + "\n").encode())


def work():
    """Works off the spool until it is wedged."""
    while not wedged.wait(0.05):
        for job in arguments.spool.iterdir():
            job.unlink()


class Handler(http.server.BaseHTTPRequestHandler):
    """What the server answers, and how it can be broken."""

    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self):
        record("request", path=self.path)
        self.answer("not well\n" if sick.is_set() else "pong\n", 503 if sick.is_set() else 200)

    def do_POST(self):
        record("request", path=self.path)
        if self.path == "/wedge":  # the work thread ends, everything else goes on
            wedged.set()
        elif self.path == "/sick":  # it answers, and says that it is not well
            sick.set()
        elif self.path == "/exit":  # a crash: no answer, no farewell
            os._exit(3)
        elif self.path.startswith("/grow/"):  # a leak of so many bytes
            ballast.append(b"x" * int(self.path.removeprefix("/grow/")))
        self.answer("done\n")

    def answer(self, text, status=200):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The log above says it all."""


def stop(*_):
    """What a supervisor asks for with SIGTERM."""
    record("stop")
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
record("start", port=arguments.port)
time.sleep(arguments.slow_start)
if arguments.spool:
    arguments.spool.mkdir(parents=True, exist_ok=True)
    threading.Thread(target=work, daemon=True).start()


class Server(socketserver.ThreadingTCPServer):
    """A queue of connections that a few checks cannot fill, and threads that end with it."""

    allow_reuse_address = True
    request_queue_size = 64
    daemon_threads = True


Server(("127.0.0.1", arguments.port), Handler).serve_forever()
