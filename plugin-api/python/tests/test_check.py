"""Options, samples, and the contract that authors hold their checks to."""

import json
import os
import pickle
import unittest
from dataclasses import dataclass

from checkd import Cause, Check, Percent, Port, Sample, Secret, Size, Span, option, test
from checkd.options import fields


class UnitsTest(unittest.TestCase):
    def test_units_are_read(self):
        for of, written, value in (
            (Span, "30s", 30), (Span, "1m30s", 90), (Span, "250ms", 0.25), (Span, "1d", 86400),
            (Size, "512MiB", 512 << 20), (Size, "2GB", 2_000_000_000), (Size, "1.5KiB", 1536), (Size, "4096B", 4096),
            (Percent, "25%", 25), (Percent, "0.5%", 0.5),
            (Port, 80, 80), (Port, "8103", 8103),
        ):  # fmt: skip
            self.assertEqual(of.read(written), value, written)

    def test_what_has_no_unit_is_refused_with_what_to_write(self):
        for of, written in (
            (Span, 30), (Span, "30"), (Span, ""), (Span, "30 s"), (Span, "s"), (Span, "-1s"), (Span, None),
            (Span, True), (Span, "99999999d"), (Size, 512), (Size, "512"), (Size, "5 MB"), (Size, "1kib"),
            (Percent, 25), (Percent, "25"), (Port, 0), (Port, 65536), (Port, "{port}"), (Port, True), (Port, 8.5),
            (Secret, {"file": "x"}), (Secret, 1),
        ):  # fmt: skip
            with self.assertRaises(ValueError, msg=f"{of.__name__} {written!r}"):
                of.read(written)

    def test_a_secret_is_printed_nowhere(self):
        secret = Secret("hunter2")
        self.assertEqual(secret.reveal(), "hunter2")
        self.assertEqual(f"{secret} {secret!r} {[secret]}", "[secret] [secret] [[secret]]")
        for write in (json.dumps, pickle.dumps):
            with self.assertRaises(TypeError):
                write(secret)


class SampleTest(unittest.TestCase):
    def test_a_cause_must_fit(self):
        self.assertEqual(Sample.fail("x", Cause.STALE).cause, Cause.STALE)
        for make in (lambda: Sample.fail("x", Cause.OVERRAN), lambda: Sample.unknown("x", Cause.WRONG)):
            with self.assertRaises(ValueError):
                make()

    def test_numbers_that_json_cannot_say_are_null(self):
        sample = Sample.passed().measure("a", float("nan")).measure("b", 10**400 // 10**399, limit=float("inf"))
        self.assertEqual([one["value"] for one in sample.to_json()["measurements"]], [None, 10])
        json.dumps(sample.to_json(), allow_nan=False)

    def test_a_sample_names_who_is_to_blame_by_pid_and_start_time(self):
        sample = Sample.fail("stuck").blame(os.getpid())
        (one,) = sample.to_json()["measurements"]
        self.assertEqual((one["name"], one["unit"], one["value"]), ("blamed", "pid", os.getpid()))
        self.assertGreater(one["limit"], 0)
        self.assertEqual(Sample.fail("stuck").blame(os.getpid(), one["limit"]), sample)
        gone = 2**22 + 1  # beyond the kernel's largest
        self.assertEqual(Sample.fail("stuck").blame(gone).measurements, [])

    def test_a_measurement_has_a_name(self):
        for name in ("", "A", "1a", "a-b", "a" * 65, "a\n"):
            with self.assertRaises(ValueError, msg=name):
                Sample.passed().measure(name, 1)


@dataclass
class Good:
    limit: int = option(1, help="The limit.", minimum=0)


class Fine(Check):
    kind = "acme_fine"
    summary = "is fine"
    example = "limit = 3\n"
    Options = Good

    def run(self, context):
        return Sample.passed(f"{self.options.limit} for {context.member}")


class ContractTest(unittest.TestCase):
    def test_a_good_check_holds_it(self):
        test.contract(Fine, {"limit": 2})
        self.assertEqual(test.run(Fine, {"limit": 2}).message, "2 for shop-0")
        self.assertEqual(test.run(Fine, {}, member="shop-7").message, "1 for shop-7")
        self.assertEqual(test.problems(Fine, {"limit": -1})[0].option, "limit")

    def test_each_clause_can_break(self):
        @dataclass
        class Silent:
            limit: int = option(1, help=" ")

        @dataclass
        class Claims:
            timeout: int = option(1, help="How long.")

        @dataclass
        class Strange:
            limit: complex = option(1, help="The limit.")

        def raises(self, context):
            raise KeyError("x")

        for broken, words in (
            ({"kind": "Acme"}, "it describes itself: TypeError"),
            ({"scope": "world"}, "it describes itself: TypeError"),
            ({"summary": ""}, "it describes itself: Fine.summary is empty"),
            ({"Options": Silent}, "option `limit` has no help"),
            ({"Options": Claims}, "no option can be called `timeout`"),
            ({"Options": Strange}, "option `limit` cannot be a"),
            ({"run": raises}, "a run says one sample: KeyError"),
            ({"run": lambda self, context: True}, "a run says one sample: `run` returned True"),
            ({"run": lambda self, context: Sample.fail("")}, "it does not say why"),
        ):
            check = type("Fine", (Fine,), broken)
            with self.assertRaises(test.Broken, msg=words) as told:
                test.contract(check, {"limit": 2} if broken.get("Options") is None else {})
            self.assertIn(words, str(told.exception))

    @unittest.skipIf(test.read_toml("") is None, "Python 3.11 reads TOML")
    def test_an_example_that_is_refused_breaks_it(self):
        check = type("Fine", (Fine,), {"example": "limit = -1\n"})
        with self.assertRaisesRegex(test.Broken, "its example is accepted: limit: must be at least 0"):
            test.contract(check)

    def test_fields_keep_their_order_and_need_no_defaults_last(self):
        @dataclass
        class Mixed:
            first: int = option(1, help="One.")
            second: str = option(help="Two.")

        self.assertEqual([(one.name, one.required) for one in fields(Mixed)], [("first", False), ("second", True)])


if __name__ == "__main__":
    unittest.main()
