"""A worker for tests: what each kind does is its name."""
import json, os, signal, socket, sys, time

stream = socket.socket(fileno=0)
lines = stream.makefile("r", encoding="utf-8")
kinds = {}


def tell(**message):
    stream.sendall(json.dumps(message).encode() + b"\n")


def answer(run, status="pass", message="fine", **more):
    tell(type="sample", run=run, sample={"status": status, "message": message, **more})


for line in lines:
    ask = json.loads(line)
    what = ask["type"]
    if what == "hello":
        if "--slow" in sys.argv:
            time.sleep(0.3)
        tell(type="hello", version=1, plugin="demo", release="1")
    elif what == "describe":
        limit = {"type": "integer", "description": "What is allowed."}
        schema = {"type": "object", "properties": {"limit": limit}}
        claims = {"type": "object", "properties": {"timeout": limit}}
        names = ["passes", "refuses", "dies_configuring"]
        offered = [{"kind": name, "summary": name, "options": schema} for name in names]
        offered.append({"kind": "claims", "options": claims})
        offered.append({"kind": "Bad Name"})
        tell(type="described", kinds=offered)
    elif what == "configure":
        kinds[ask["instance"]] = ask["kind"]
        if ask["kind"] == "refuses":
            problem = {"option": "limit", "message": "must be at least 1, found 0"}
            tell(type="configured", instance=ask["instance"], problems=[problem])
        elif ask["kind"] == "mistakes_instance":
            tell(type="configured", instance=ask["instance"] + 7, problems=[])
        elif ask["kind"] == "dies_configuring":
            os.kill(os.getpid(), signal.SIGSEGV)
        else:
            tell(type="configured", instance=ask["instance"], problems=[])
    elif what == "submit":
        run, kind = ask["run"], kinds[ask["instance"]]
        if kind == "passes":
            answer(run, message=str(os.getpid()))
        elif kind == "dies":
            print("no more", flush=True)
            os.kill(os.getpid(), signal.SIGABRT)
        elif kind == "silent":
            pass
        elif kind == "babbles":
            tell(type="sing")
            stream.sendall(b"not json\n")
            answer(run + 1000)
            answer(run)
            answer(run, "fail", "the second answer")
        elif kind == "status_number":
            answer(run, 7)
        elif kind in ("nan", "utf8", "infinite", "late_run"):
            part = {"nan": b"NaN", "utf8": b'"\xff"', "infinite": b"1e999", "late_run": b"NaN"}
            broken = b'"sample":{"status":"pass","message":' + part[kind] + b"}"
            number = b'"run":%d' % run
            both = (broken, number) if kind == "late_run" else (number, broken)
            stream.sendall(b'{"type":"sample",%s,%s}\n' % both)
        elif kind == "nonsense":
            stream.sendall(b"nonsense\n")
        elif kind == "mistaken":
            answer(run + 1000)
        elif kind == "chatters":
            while True:
                stream.sendall(b'{"type":"log","level":"debug","message":"so"}\n' * 1000)
        elif kind == "floods":
            stream.sendall(b"x" * (3 << 20))
    elif what == "cancel" and "--stubborn" not in sys.argv:
        answer(ask["run"], "unknown", "cancelled")
