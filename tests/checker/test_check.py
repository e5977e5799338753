"""Plants each kind of violation and expects the checker to report it: python3 -m unittest test_check"""

import gzip
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).with_name("check.py")
DAY = 1_432_684_800_000
RECEIVED = DAY + 1_000
SPOOL = "0123456789abcdef0123456789abcdef"


class World:
    """Three calls of one source in two objects, without violations until a test adds one."""

    def __init__(self):
        self.journal = [
            {
                "messageId": f"m{nth}",
                "source": "alpha",
                "padding": "x" * nth,
                "firstSentMs": RECEIVED - 5,
                "lastSettledMs": RECEIVED + 5,
                "acknowledged": True,
            }
            for nth in range(3)
        ]
        self.day = DAY
        self.name = "{day}/" + f"{RECEIVED}-n1-{SPOOL}-" + "{position:020}.gz"
        self.objects = [{"first": 0, "lines": [line(0), line(1)]}, {"first": 2, "lines": [line(2)], "previous": 1}]
        self.metadata = {}
        self.cut = 0

    def check(self, *options):
        """The output of the checker, and whether it found no violations."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            metadata = {}
            for item in self.objects:
                name = "alpha/" + self.name.format(day=self.day, position=item["first"])
                plain = b"".join(json.dumps(call).encode() + b"\n" for call in item["lines"])
                file = folder / "bucket" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                packed = gzip.compress(plain)
                file.write_bytes(packed[: len(packed) - self.cut])
                metadata[name] = {
                    "forebay-calls": str(len(item["lines"])),
                    "forebay-bytes": str(len(plain)),
                    "forebay-sha256": hashlib.sha256(plain).hexdigest(),
                    "forebay-node": "n1",
                    "forebay-first-received-at": str(RECEIVED),
                    "forebay-last-received-at": str(RECEIVED),
                    "forebay-first-position": str(item["first"]),
                    "forebay-last-position": str(item["first"] + len(item["lines"]) - 1),
                    **({"forebay-previous-last-position": str(item["previous"])} if "previous" in item else {}),
                    **self.metadata,
                }
            journal = "".join(json.dumps(call) + "\n" for call in self.journal)
            (folder / "journal.jsonl").write_text(journal, encoding="utf-8")
            (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
            command = [sys.executable, CHECKER, "journal.jsonl", "bucket", "metadata.json", *options]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            return run.stdout + run.stderr, run.returncode == 0


def line(nth):
    """The line of a call."""
    return {
        "messageId": f"m{nth}",
        "projectId": "alpha",
        "receivedAt": "2015-05-27T00:00:01.000Z",
        "properties": {"padding": "x" * nth, "source": "alpha"},
    }


def lose(world):
    """An acknowledged call is in no object."""
    del world.objects[1]


def double(world):
    """A call is in two objects."""
    world.objects[1]["lines"].append(line(0))


def double_unacknowledged(world):
    """A call that was never acknowledged is in two objects."""
    world.journal[0]["acknowledged"] = False
    double(world)


def invent(world):
    """A line belongs to no sent call."""
    world.objects[0]["lines"][0]["messageId"] = "m9"


def misplace(world):
    """A call is in the folder of another source."""
    world.journal[0]["source"] = "beta"


def project(world):
    """A line names another source than its folder."""
    world.objects[0]["lines"][0]["projectId"] = "beta"


def wrong_day(world):
    """The calls are in the folder of another day."""
    world.day += 86_400_000


def change(world):
    """A call's content differs from what was sent."""
    world.objects[0]["lines"][0]["properties"]["padding"] = "y"


def too_late(world):
    """A call was received after it was no longer in flight."""
    world.journal[0]["lastSettledMs"] = RECEIVED - 2


def misname(world):
    """An object's name does not have the required form."""
    world.name = "{day}/{position}.gz"


def tear(world):
    """An object is truncated."""
    world.cut = 9


def miscount(world):
    """An object's metadata does not match its content."""
    world.metadata = {"forebay-calls": "7"}


def digest(world):
    """An object's digest does not match its lines."""
    world.metadata = {"forebay-sha256": "0" * 64}


def unchain(world):
    """An object does not follow the previous one."""
    world.objects[1]["previous"] = 0


PLANTED = [
    (lose, "m2 of alpha was acknowledged, but is lost"),
    (double, "m0 is there 2 times"),
    (double_unacknowledged, "m0 is there 2 times"),
    (invent, "m9 was never sent"),
    (misplace, "m0 was sent to beta"),
    (project, "of source beta"),
    (wrong_day, "another day"),
    (change, "m0 does not have the properties it was sent with"),
    (too_late, "but in flight from"),
    (misname, "not a valid object name"),
    (tear, "end-of-stream marker"),
    (miscount, "forebay-calls is 7, not 2"),
    (digest, "forebay-sha256 is 000"),
    (unchain, "follows position 0, but the object before it ends at 1"),
]


class Checking(unittest.TestCase):
    """What the checker accepts and what it reports."""

    def test_nothing_wrong(self):
        """A world without violations is accepted."""
        report, content = World().check()
        self.assertTrue(content, report)

    def test_an_unacknowledged_call_may_be_missing(self):
        """The client got no acknowledgement, so the call may be missing."""
        world = World()
        world.journal[2]["acknowledged"] = False
        lose(world)
        report, content = world.check()
        self.assertTrue(content, report)

    def test_digests(self):
        """The digest of a padding may replace it."""
        world = World()
        for call in world.journal:
            call["paddingSha256"] = hashlib.sha256(call.pop("padding").encode()).hexdigest()
        report, content = world.check()
        self.assertTrue(content, report)
        change(world)
        report, content = world.check()
        self.assertFalse(content, report)
        self.assertIn("m0 does not have the properties it was sent with", report)

    def test_a_stepped_clock(self):
        """The time of a call is not compared with the client's; everything else is still checked."""
        world = World()
        too_late(world)
        report, content = world.check("--stepped-clock")
        self.assertTrue(content, report)
        for plant, named in PLANTED:
            if plant is too_late:
                continue
            with self.subTest(plant.__doc__):
                world = World()
                plant(world)
                report, content = world.check("--stepped-clock")
                self.assertFalse(content, report)
                self.assertIn(named, report)

    def test_planted_violations(self):
        """Each is reported."""
        for plant, named in PLANTED:
            with self.subTest(plant.__doc__):
                world = World()
                plant(world)
                report, content = world.check()
                self.assertFalse(content, report)
                self.assertIn(named, report)


if __name__ == "__main__":
    unittest.main()
