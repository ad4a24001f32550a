"""A shop that asks Redis before it answers, and the hooks with which gunicorn serves it.

`GET /ping` is 200 when Redis answers in time and 500 when it does not. `POST /wedge` takes a lock and
never gives it back, as a deadlock does: every later request waits for ever, while gunicorn's own
heartbeat goes on, so only a restart cures it. SHOP_LOG gets one JSON line per start, answer and stop,
so that nobody has to take a supervisor's word for what happened.
"""

import json
import os
import signal
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

lock = threading.Lock()
patience = float(os.environ["SHOP_PATIENCE"])
store = redis.Redis(
    unix_socket_path=os.environ["SHOP_REDIS"],
    socket_timeout=patience,
    socket_connect_timeout=patience,
    retry=Retry(NoBackoff(), 0),  # one attempt, so that a check is answered in time
)


def record(event, **more):
    """One line, written at once: the log is read while the shop runs, and after it was killed."""
    line = {"time": time.clock_gettime(time.CLOCK_BOOTTIME), "pid": os.getpid(), "event": event}
    log = os.open(os.environ["SHOP_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(log, (json.dumps(line | more) + "\n").encode())
    os.close(log)


def on_starting(server):
    """gunicorn's master begins: one life of the member."""
    record("start")


def post_worker_init(worker):
    """The worker says when it is told to stop; what gunicorn does about that stays as it is."""
    before = signal.getsignal(signal.SIGTERM)

    def told(number, frame):
        record("stop")
        before(number, frame)

    signal.signal(signal.SIGTERM, told)


def app(environ, start_response):
    """What the shop answers."""
    if environ["PATH_INFO"] == "/wedge":
        lock.acquire()
        record("wedged")
        return answer(start_response, "200 OK", "done\n")
    with lock:
        pass
    try:
        store.ping()
    except Exception as error:
        return answer(start_response, "500 Internal Server Error", f"{error}\n")
    record("request", path=environ["PATH_INFO"])
    return answer(start_response, "200 OK", "pong\n")


def answer(start_response, status, text):
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
