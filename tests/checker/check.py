"""Compares the records of clients with the bucket: check.py JOURNAL BUCKET [METADATA]

JOURNAL   one JSON object per line: messageId, source, padding, firstSentMs, lastSettledMs, acknowledged; paddingSha256 may
          replace padding
BUCKET    a folder with the content of `segment-logs/`, as downloaded by `aws s3 sync`
METADATA  a JSON object: for each file, by its path in BUCKET, the user metadata of its object

With --stepped-clock the program's wall clock was deliberately wrong: the time at which a call was received is not compared
with the time at which it was sent. Everything else is.

It shares nothing with the program that it checks: it is written in another language, and uses the standard library for
gzip, JSON and dates. Prints its counts and exits with 0, or prints each violation and exits with 1.
"""

import collections
import datetime
import gzip
import hashlib
import json
import pathlib
import re
import sys

DAY_MS = 86_400_000
# Both the program and the client use whole milliseconds.
CLOCK_TOLERANCE_MS = 1

KEY = re.compile(
    r"(?P<source>[A-Za-z0-9-][A-Za-z0-9_-]{0,63})/(?P<day>\d{1,14})/"
    r"(?P<first_ms>\d+)-(?P<node>[a-z0-9-]{1,32})-(?P<spool>[0-9a-f]{32})-(?P<position>\d{20})\.gz"
)
VIOLATIONS_SHOWN = 50
STEPPED_CLOCK = "--stepped-clock"


class Checker:
    """Collects the violations of one journal and one bucket."""

    def __init__(self, journal, stepped_clock=False):
        self.journal = journal
        self.stepped_clock = stepped_clock
        self.violations = []
        self.found = collections.defaultdict(list)
        self.lines = 0
        self.chains = collections.defaultdict(list)

    def complain(self, text):
        """Records a violation."""
        self.violations.append(text)

    def object(self, name, packed, metadata):
        """Checks one object, and records the calls in it."""
        key = KEY.fullmatch(name)
        if key is None:
            self.complain(f"{name}: not a valid object name")
            return
        try:
            plain = gzip.decompress(packed)
        except (OSError, EOFError) as error:
            self.complain(f"{name}: {error}")
            return
        if not plain.endswith(b"\n"):
            self.complain(f"{name}: the last line has no line break")
        lines = plain.split(b"\n")[:-1]
        self.lines += len(lines)
        received = [self.line(name, key, number, line) for number, line in enumerate(lines, 1)]
        received = [ms for ms in received if ms is not None]
        if received and received[0] != int(key["first_ms"]):
            self.complain(f"{name}: its first call was received at {received[0]}")
        if metadata is not None:
            self.metadata(name, key, plain, lines, received, metadata)

    def line(self, name, key, number, line):
        """Checks one line against the journal; returns when it was received."""
        where = f"{name}:{number}"
        call = json.loads(line)
        received = instant_ms(call["receivedAt"])
        if received - received % DAY_MS != int(key["day"]):
            self.complain(f"{where}: received at {call['receivedAt']}, another day")
        if call["projectId"] != key["source"]:
            self.complain(f"{where}: of source {call['projectId']}")
        sent = self.journal.get(call["messageId"])
        if sent is None:
            self.complain(f"{where}: {call['messageId']} was never sent")
            return received
        self.found[call["messageId"]].append(where)
        if sent["source"] != key["source"]:
            self.complain(f"{where}: {call['messageId']} was sent to {sent['source']}")
        if not has_sent_properties(call["properties"], sent):
            self.complain(f"{where}: {call['messageId']} does not have the properties it was sent with")
        earliest = sent["firstSentMs"] - CLOCK_TOLERANCE_MS
        latest = sent["lastSettledMs"] + CLOCK_TOLERANCE_MS
        if not self.stepped_clock and not earliest <= received <= latest:
            self.complain(f"{where}: received at {received}, but in flight from {earliest} to {latest}")
        return received

    def metadata(self, name, key, plain, lines, received, metadata):
        """Checks the metadata of an object, and records its place in the chain of its source and day."""
        expected = {
            "forebay-calls": str(len(lines)),
            "forebay-bytes": str(len(plain)),
            "forebay-sha256": hashlib.sha256(plain).hexdigest(),
            "forebay-node": key["node"],
        }
        for field, value in expected.items():
            if metadata.get(field) != value:
                self.complain(f"{name}: {field} is {metadata.get(field)}, not {value}")
        # Simultaneous requests are in the order of their positions, which may differ from that of their milliseconds.
        ends = {"first": received and {received[0], min(received)}, "last": received and {received[-1], max(received)}}
        for end, allowed in ends.items():
            stated = metadata.get(f"forebay-{end}-received-at", "")
            if not {number_or_none(stated), instant_or_none(stated)} & set(allowed):
                self.complain(f"{name}: forebay-{end}-received-at is {stated}, not one of {allowed}")
        positions = [number_or_none(metadata.get(f"forebay-{end}-position", "")) for end in ("first", "last")]
        if None in positions or positions[0] > positions[1] or positions[0] != int(key["position"]):
            self.complain(f"{name}: its positions are {positions}")
            return
        previous = number_or_none(metadata.get("forebay-previous-last-position", ""))
        self.chains[key["spool"], key["source"], key["day"]].append((*positions, previous, name))

    def chain(self, chain):
        """Checks that the objects of a source and day follow each other without gaps or overlaps."""
        last = None
        for first, end, previous, name in sorted(chain):
            if previous != last:
                self.complain(f"{name}: follows position {previous}, but the object before it ends at {last}")
            if last is not None and first <= last:
                self.complain(f"{name}: begins at {first}, within the object before it")
            last = end

    def finish(self):
        """Checks that no acknowledged call is missing, and none is there twice."""
        for chain in self.chains.values():
            self.chain(chain)
        for message_id, call in self.journal.items():
            places = self.found.get(message_id, [])
            if call["acknowledged"] and not places:
                self.complain(f"{message_id} of {call['source']} was acknowledged, but is lost")
            if len(places) > 1:
                self.complain(f"{message_id} is there {len(places)} times: {', '.join(places)}")


def has_sent_properties(properties, sent):
    """Whether a call has the properties that it was sent with."""
    padding = sent.get("padding")
    if padding is None:
        padding = properties.get("padding", "")
        if hashlib.sha256(padding.encode()).hexdigest() != sent["paddingSha256"]:
            return False
    return properties == {"padding": padding, "source": sent["source"]}


def instant_ms(text):
    """An RFC 3339 instant in UTC, in Unix milliseconds."""
    instant = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round(instant.timestamp() * 1_000)


def instant_or_none(text):
    """Like instant_ms; None if the text is not an instant."""
    try:
        return instant_ms(text)
    except ValueError:
        return None


def number_or_none(text):
    """The number; None if the text is not one."""
    return int(text) if re.fullmatch(r"\d+", text) else None


def main():
    """Checks a journal and a bucket."""
    stepped_clock = STEPPED_CLOCK in sys.argv
    journal_file, bucket, *metadata_file = (pathlib.Path(word) for word in sys.argv[1:] if word != STEPPED_CLOCK)
    with journal_file.open(encoding="utf-8") as lines:
        calls = [json.loads(line) for line in lines]
    journal = {call["messageId"]: call for call in calls}
    if len(journal) != len(calls):
        sys.exit("the journal contains a call twice")
    metadata = json.loads(metadata_file[0].read_text(encoding="utf-8")) if metadata_file else None

    checker = Checker(journal, stepped_clock)
    files = sorted(file for file in bucket.rglob("*") if file.is_file())
    for file in files:
        name = file.relative_to(bucket).as_posix()
        checker.object(name, file.read_bytes(), None if metadata is None else metadata.get(name, {}))
    checker.finish()

    acknowledged = sum(call["acknowledged"] for call in calls)
    print(
        f"{len(calls)} calls sent, {acknowledged} acknowledged, {checker.lines} lines in {len(files)} objects, "
        f"{len(checker.violations)} violations"
    )
    for violation in checker.violations[:VIOLATIONS_SHOWN]:
        print(violation)
    if checker.violations:
        sys.exit(1)


if __name__ == "__main__":
    main()
