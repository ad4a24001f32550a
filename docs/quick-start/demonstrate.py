"""Starts checkd on four servers, breaks two of them, and judges what happens by evidence of its own.

What checkd says is for the person who watches. Whether it is true is judged here by /proc and by the
logs that the servers write about themselves.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MEMBERS = ["web-0", "web-1", "web-2", "web-3"]
FROZEN, IDLE = "web-1", "web-2"  # one hangs, one answers and does not work
STAY = [member for member in MEMBERS if member not in (FROZEN, IDLE)]
PATIENCE = 25.0  # seconds for what should take a few

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--checkd", type=pathlib.Path, required=True)
parser.add_argument("--plugin", type=pathlib.Path, required=True)
arguments = parser.parse_args()
checkd = arguments.checkd.resolve()
plugin = arguments.plugin.resolve()
work = pathlib.Path("target/quick-start").resolve()
if len(str(work / "control.sock")) > 100:  # the kernel takes no longer path for a socket
    work = pathlib.Path(tempfile.mkdtemp(prefix="checkd-"))


class Unexpected(Exception):
    """Something did not happen as it must."""


def say(text):
    """A step, on the same stream as the daemon's words, so that they stay in order."""
    print(f"\n==> {text}", file=sys.stderr, flush=True)


def expect(holds, otherwise):
    """Ends the demonstration with what is wrong."""
    if not holds:
        raise Unexpected(otherwise)


def until(what, condition, patience=PATIENCE):
    """Waits until `condition()` gives something true."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        expect(time.monotonic() < deadline, f"not within {patience:.0f} s: {what}")
        expect(daemon is None or daemon.poll() is None, "the daemon ended by itself")
        time.sleep(0.05)
    return found


def free_ports(count):
    """The first of `count` neighbouring ports that are free, below those that the kernel gives away."""
    for base in range(20000 + os.getpid() % 1000 * 8, 32000, count):
        held = []
        try:
            for port in range(base, base + count):
                held.append(socket.create_server(("127.0.0.1", port)))
            return base
        except OSError:
            continue
        finally:
            for server in held:
                server.close()
    raise Unexpected("there are no four free ports in a row")


def verb(*words):
    """Runs a verb of checkd for the person."""
    print(f"\n$ checkd {' '.join(words)}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    ended = subprocess.run([checkd, *words], cwd=work, env=environment, stdout=sys.stderr)
    expect(ended.returncode == 0, f"`checkd {words[0]}` ended with {ended.returncode}")


def status():
    """Every member as checkd sees it: name to report. Used to wait, never to judge."""
    asked = subprocess.run(
        [checkd, "status", "--json"], cwd=work, env=environment, capture_output=True, text=True
    )
    if asked.returncode != 0:
        return {}
    groups = json.loads(asked.stdout)["groups"]
    return {m["path"].removeprefix("web/"): m for group in groups for m in group["members"]}


def all_healthy():
    """Whether checkd takes all four as healthy."""
    members = status()
    return len(members) == 4 and all(m["health"] == "healthy" for m in members.values())


def log(member, event=None):
    """What a server wrote about itself, over all its lives."""
    path = work / "log" / f"{member}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    written = [json.loads(line) for line in lines if line.endswith("}")]
    return [line for line in written if event in (None, line["event"])]


def pids(member):
    """The pids of all lives of a server, by its own log."""
    return [line["pid"] for line in log(member, "start")]


def running(pid, member):
    """Whether /proc shows this pid as the server of `member`."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return f"log/{member}.jsonl" in words


def demonstrate():
    """The demonstration itself."""
    until("the daemon answers", status)
    until("all four servers are healthy", all_healthy)
    verb("status")
    first = {member: pids(member)[0] for member in MEMBERS}
    for member, pid in first.items():
        expect(pids(member) == [pid], f"{member} was started more than once: {pids(member)}")
        expect(running(pid, member), f"/proc does not show {member} as pid {pid}")

    say(f"{FROZEN} is frozen: kill -STOP {first[FROZEN]}")
    frozen_at = time.clock_gettime(time.CLOCK_BOOTTIME)
    os.kill(first[FROZEN], signal.SIGSTOP)
    say(f"{IDLE} goes on to answer pings, but stops to work: files pile up in its spool")
    idle_port = base + MEMBERS.index(IDLE)
    with socket.create_connection(("127.0.0.1", idle_port), timeout=5) as connection:
        connection.sendall(b"POST /wedge HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        expect(b" 200 " in connection.recv(1000), f"{IDLE} does not take /wedge")
    for number in range(50):
        (work / "spool" / IDLE / f"job-{number}").write_text("work\n")

    until("both were started again", lambda: all(len(pids(m)) == 2 for m in (FROZEN, IDLE)))
    until("all four servers are healthy again", all_healthy)

    say("judged by /proc and by the servers' own logs:")
    for member in STAY:
        expect(pids(member) == [first[member]], f"{member} was restarted: {pids(member)}")
        expect(running(first[member], member), f"{member} lost its pid {first[member]}")
        print(f"    {member}  kept pid {first[member]}", file=sys.stderr)
    for member in (FROZEN, IDLE):
        old, new = pids(member)
        expect(not running(old, member), f"the old process {old} of {member} still runs")
        expect(running(new, member), f"/proc does not show {member} as pid {new}")
        asked = [line for line in log(member, "request") if line["pid"] == new]
        expect(asked, f"the new process {new} of {member} was never asked")
        print(f"    {member}  restarted: pid {old} is gone, {new} answers", file=sys.stderr)
    outages = []
    for member in (FROZEN, IDLE):
        back = [line["time"] for line in log(member, "request") if line["pid"] == pids(member)[1]]
        outages.append((log(member, "stop")[0]["time"], back[0]))
    (_, first_back), (second_down, _) = sorted(outages)
    expect(first_back <= second_down, "both were down at once, and max_out is 1")
    print("    never more than one of them was down", file=sys.stderr)
    old_frozen = [l for l in log(FROZEN, "request") if l["pid"] == first[FROZEN]]
    answered = [l["time"] - frozen_at for l in old_frozen]
    expect(not any(0.2 < after < 1.5 for after in answered), f"{FROZEN} was never frozen")
    started_again = log(IDLE, "start")[1]["time"]
    pinged = [l["time"] for l in log(IDLE, "request") if l["pid"] == first[IDLE]]
    last_ping = max(t for t in pinged if t < started_again)
    expect(last_ping > frozen_at, f"{IDLE} stopped to answer: not only the plugin's check failed")
    expect(not any((work / "spool" / IDLE).iterdir()), f"the new {IDLE} does not work off its spool")

    say("why? checkd kept the numbers")
    verb("explain", f"web/{FROZEN}")
    verb("explain", f"web/{IDLE}")
    verb("history", "web")


environment = os.environ | {"CHECKD_CONFIG": str(work / "checkd.toml")}
daemon = None
began = time.monotonic()
try:
    shutil.rmtree(work, ignore_errors=True)
    (work / "plugins").mkdir(parents=True)
    for directory in ("log", "spool"):
        (work / directory).mkdir()
    for member in MEMBERS:
        (work / "spool" / member).mkdir()
    shutil.copy(HERE / "checkd.toml", work)
    shutil.copy(HERE / "server.py", work)
    shutil.copy(plugin, work / "plugins")
    base = free_ports(4)
    say("what can be checked: `spool` comes from a file that was built elsewhere")
    verb("kinds", "--config", "checkd.toml")
    say("four servers, each under `live = \"ping and memory and spool\"`")
    command = ["run", "checkd.toml", "--set", f"group.web.ports.base={base}"]
    print(f"\n$ checkd {' '.join(command)} &", file=sys.stderr, flush=True)
    daemon = subprocess.Popen([checkd, *command], cwd=work, env=environment, stdout=sys.stderr)
    demonstrate()
    last = {member: pids(member)[-1] for member in MEMBERS}
    say("the daemon is asked to end, and its servers with it")
    daemon.send_signal(signal.SIGTERM)
    code = daemon.wait(timeout=PATIENCE)
    expect(code == 0, f"the daemon ended with {code}")
    for member, pid in last.items():
        expect(not running(pid, member), f"{member} still runs as pid {pid}")
    say(f"all as promised, in {time.monotonic() - began:.0f} s")
    shutil.rmtree(work)
except (Unexpected, subprocess.TimeoutExpired, OSError, ValueError) as error:
    print(f"\nerror: {error}\nhelp: what is left is in {work}", file=sys.stderr)
    sys.exit(1)
except KeyboardInterrupt:
    sys.exit(130)
finally:
    # Whatever happened, nothing of the demonstration stays behind.
    if daemon is not None and daemon.poll() is None:
        daemon.kill()
        daemon.wait()
    for member in MEMBERS:
        for pid in pids(member):
            if running(pid, member):
                os.kill(pid, signal.SIGKILL)
