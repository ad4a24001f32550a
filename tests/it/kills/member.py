"""A member that takes no supervisor's word for anything: it notes each start with the intent that it was
started for, each signal, and how many numbered lines it has written; beside that it answers pings."""

import mmap
import os
import select
import signal
import socket
import sys
import time

name, port, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pid = os.getpid()
log = os.open(f"{directory}/{name}.life", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def note(event, detail):
    os.write(log, f"{event} {pid} {detail}\n".encode())


def signalled(number, _):
    note("signal", signal.Signals(number).name)
    if number == signal.SIGTERM:
        os._exit(7)


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
    signal.signal(number, signalled)
note("start", os.environ["CHECKD_INTENT"])

# Shared memory in a file: what was counted is there whatever kills us.
with open(f"{directory}/{name}.{pid}.count", "w+b") as file:
    file.truncate(8)
    count = mmap.mmap(file.fileno(), 8)

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", port))
server.listen(64)
server.setblocking(False)
number, due = 0, time.monotonic()
while True:
    if time.monotonic() >= due:
        os.write(1, f"{pid} {number}\n".encode())
        number += 1
        count[:8] = number.to_bytes(8, "little")
        due = time.monotonic() + 0.004
    readable, _, _ = select.select([server], [], [], 0.004)
    if readable:
        try:
            client, _ = server.accept()
            with client:
                client.settimeout(1)
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            pass
