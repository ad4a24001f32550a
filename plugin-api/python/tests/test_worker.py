"""A real worker process, spoken to as checkd speaks to it, with checks that misbehave."""

import os
import signal
import sys
import unittest

from checkd.silence import says_nothing
from checkd.test import Broken, Host

HOSTILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile.py")


class WorkerTest(unittest.TestCase):
    def setUp(self):
        self.host = Host(sys.executable, HOSTILE)
        self.addCleanup(self.host.end)
        self.runs = 0

    def once(self, kind, timeout=20.0):
        self.runs += 1
        self.assertEqual(self.host.configure(self.runs, kind, {}), [])
        return self.host.run(self.runs, self.runs, timeout)

    def test_it_greets_and_describes_itself(self):
        hello = self.host.ask(type="hello", versions=[7, 1], later="unknown fields are ignored")
        built_with = hello.pop("built_with")
        self.assertTrue(built_with.startswith("checkd for Python 1."), built_with)
        self.assertEqual(hello, {"type": "hello", "version": 1, "plugin": "hostile", "release": "1.2.3"})
        kinds = {one["kind"]: one for one in self.host.ask(type="describe")["kinds"]}
        self.assertEqual(kinds["py_passes"]["package"], "hostile 1.2.3")
        self.assertEqual(kinds["py_passes"]["scope"], "process")
        self.assertTrue(kinds["py_passes"]["blocking"])
        self.assertFalse(kinds["py_async"]["blocking"])
        options = kinds["py_typed"]["options"]
        self.assertEqual(options["required"], ["port"])
        self.assertFalse(options["additionalProperties"])
        self.assertEqual(options["properties"]["token"]["format"], "secret")
        self.assertEqual(options["properties"]["age"]["default"], "30s")

    def test_another_version_is_refused(self):
        self.assertEqual(self.host.ask(type="hello", versions=[2])["type"], "error")

    def test_a_sample_comes_back(self):
        sample = self.once("py_passes")
        self.assertEqual((sample["status"], sample["message"]), ("pass", str(self.host.process.pid)))
        self.assertLessEqual(sample["measurements"][0]["value"], 20)

    def test_all_mistakes_come_together_each_with_its_option(self):
        wrong = {"text": "c", "number": 0, "loud": 1, "age": 30, "room": "5 MB", "nams": []}
        told = {one["option"]: one for one in self.host.configure(1, "py_typed", wrong)}
        self.assertEqual(set(told), {"port", "text", "number", "loud", "age", "room", "nams"})
        self.assertEqual(told["port"]["message"], "is missing")
        self.assertEqual(told["number"]["message"], "must be at least 1, found 0")
        self.assertEqual(told["nams"]["help"], "did you mean `names`?")
        self.assertIn('write `"30s"`', told["age"]["message"])

    def test_options_arrive_typed_and_secrets_unprinted(self):
        options = {"port": "8103", "age": "1m30s", "room": "2KiB", "token": "hunter2", "names": ["x"]}
        self.assertEqual(self.host.configure(1, "py_typed", options), [])
        said = self.host.run(1, 1)["message"]
        for word in ("port=8103", "age=90.0", "room=2048", "token=[secret]", "names=['x']"):
            self.assertIn(word, said)
        self.assertNotIn("hunter2", said)

    def test_whatever_a_run_raises_costs_this_run_alone(self):
        for kind, status, cause, words in (
            ("py_raises", "unknown", "crashed", "ValueError: on purpose (hostile.py:"),
            ("py_exits", "unknown", "crashed", "SystemExit: on purpose"),
            ("py_nothing", "unknown", "crashed", "returned None"),
            ("py_refused", "fail", "refused", "refused"),
            ("py_lies", "fail", "wrong", "xxxx"),
            ("py_async", "pass", None, "async"),
            ("py_threads", "pass", None, "left one"),
        ):
            with self.subTest(kind):
                sample = self.once(kind)
                self.assertEqual((sample["status"], sample["cause"]), (status, cause))
                self.assertIn(words, sample["message"])
                self.assertLessEqual(len(sample["message"]), 4096)
                self.assertLessEqual(len(sample["measurements"]), 64)
        self.assertEqual(self.once("py_passes")["status"], "pass")

    def test_a_silent_target_is_a_fail(self):
        for kind in ("py_frozen", "py_naive", "py_async_frozen"):
            with self.subTest(kind):
                sample = self.once(kind, 0.3)
                self.assertEqual((sample["status"], sample["cause"]), ("fail", "timeout"))

    def test_a_run_that_waits_for_itself_is_left_to_the_host(self):
        self.host.configure(1, "py_hangs", {})
        self.host.submit(1, 1, 0.1)
        with self.assertRaises(Broken):
            self.host.hear(1.0)

    def test_an_instance_whose_thread_hangs_runs_no_second_time(self):
        self.assertEqual(self.once("py_naive", 0.1)["cause"], "timeout")
        self.assertEqual(self.host.run(2, 1)["cause"], "overran")

    def test_options_that_break_the_check_are_a_problem(self):
        told = self.host.configure(1, "py_raises_early", {})
        self.assertIn("ValueError: on purpose", told[0]["message"])
        told = self.host.configure(2, "py_nowhere", {})
        self.assertIn("`py_nowhere`", told[0]["message"])

    def test_prints_never_reach_the_stream(self):
        sample = self.once("py_prints")
        self.assertEqual(sample["message"], "printed")
        self.assertEqual(self.host.logged, [
            {"type": "log", "level": "warn", "message": "a warning of two lines"}
        ])
        _, output = self.host.end()
        self.assertEqual(output.count('{"type":"sing"}'), 3)
        self.assertIn('{"type":"sample","run":1', output)

    def test_a_forked_child_says_nothing_and_goes(self):
        for _ in range(3):
            self.assertEqual(self.once("py_forks")["message"], "from the parent")
        _, output = self.host.end()
        self.assertEqual(output.count("hello from the child"), 3)

    def test_a_check_that_ends_the_process_ends_the_stream(self):
        self.host.configure(1, "py_dies", {})
        self.host.submit(1, 1)
        with self.assertRaises(EOFError):
            self.host.hear()
        self.assertEqual(self.host.end(), (3, "before the end\n"))

    def test_descriptors_that_are_closed_end_it(self):
        self.host.configure(1, "py_closes", {})
        self.host.submit(1, 1)
        with self.assertRaises((EOFError, OSError)):
            self.host.hear()

    def test_many_runs_are_in_flight_and_a_slow_one_holds_nobody_up(self):
        self.host.configure(1, "py_waits", {})
        self.host.submit(1, 1, 3600)
        for number in range(2, 16):
            self.assertEqual(self.host.configure(number, "py_passes", {}), [])
        for number in range(2, 16):
            self.host.submit(number, number)
        answered = {self.host.hear()["run"] for _ in range(2, 16)}
        self.assertEqual(answered, set(range(2, 16)))
        self.host.say(type="cancel", run=1)
        self.assertEqual(self.host.hear()["sample"]["message"], "given up")

    def test_a_run_that_hangs_is_said_to_when_it_is_given_up(self):
        self.host.configure(1, "py_hangs", {})
        self.host.submit(1, 1, 0.1)
        self.host.say(type="cancel", run=1)
        self.assertEqual(self.host.hear()["sample"]["cause"], "overran")
        # And it keeps nobody from ending.
        self.assertEqual(self.host.end()[0], 0)

    def test_what_is_no_message_is_answered_and_survived(self):
        for line in (b"nonsense\n", b"[1]\n", b'{"a":1}\n', b"\xff\n", b"[" * 100_000 + b"\n"):
            self.host.send(line)
            self.assertEqual(self.host.hear()["type"], "error")
        self.assertIn("`sing`", self.host.ask(type="sing")["message"])
        self.host.say(type="drop", instance=77)
        self.host.say(type="cancel", run=77)
        self.assertEqual(self.host.run(1, 77)["cause"], "crashed")
        self.assertEqual(self.once("py_passes")["status"], "pass")

    def test_a_line_without_end_ends_it(self):
        try:
            self.host.send(b"x" * (3 << 20))
        except OSError:
            pass  # It ended while we wrote.
        with self.assertRaises((EOFError, OSError)):
            self.host.hear()

    def test_sigterm_ends_it(self):
        self.host.greet()
        self.host.process.send_signal(signal.SIGTERM)
        with self.assertRaises((EOFError, OSError)):
            self.host.hear()
        self.assertEqual(self.host.end()[0], -signal.SIGTERM)


@unittest.skipIf(os.uname().machine != "x86_64", "numbers of system calls")
class SilenceTest(unittest.TestCase):
    def test_only_a_call_that_waits_for_somebody_else_speaks_of_a_target(self):
        for line, nothing in (
            ("0 0x3 0x7f 0x40 0x0 0x0 0x0 0x7ffc 0x7f69\n", False),  # read
            ("45 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffc 0x7f69\n", False),  # recvfrom
            ("7 0x7f 0x1 0x1 0x0 0x0 0x0 0x7ffc 0x7f69\n", False),  # poll
            ("23 0x4 0x0 0x0 0x0 0x7f 0x0 0x7ffc 0x7f69\n", False),  # select
            ("23 0x0 0x0 0x0 0x0 0x7f 0x0 0x7ffc 0x7f69\n", True),  # sleep, before Python 3.11
            ("1 0x1 0x7f 0x1 0x0 0x0 0x0 0x7ffc 0x7f69\n", True),  # write to its output
            ("230 0x0 0x0 0x7f 0x7f 0x0 0x0 0x7ffc 0x7f69\n", True),  # clock_nanosleep
            ("202 0x7f 0x80 0x2 0x0 0x0 0x0 0x7ffc 0x7f69\n", True),  # futex
            ("-1 0x7ffc 0x7f69\n", True),
            ("running\n", True),
            ("", True),
        ):
            self.assertEqual(says_nothing(line), nothing, line)


class ByHandTest(unittest.TestCase):
    def test_a_person_who_starts_it_is_told_what_it_is(self):
        import subprocess

        for stdin in (subprocess.DEVNULL, subprocess.PIPE):
            done = subprocess.run(
                [sys.executable, HOSTILE], stdin=stdin, stderr=subprocess.PIPE, timeout=60, check=False
            )
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"checkd kinds --plugin", done.stderr)


if __name__ == "__main__":
    unittest.main()
