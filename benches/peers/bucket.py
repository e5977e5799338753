"""What has landed in the bucket, read from the files of the S3 server: what is counted is what is on disk."""

import gzip
import json

WHOLE_CALL = {"messageId", "type", "context", "userId"}


class Bucket:
    """The bucket of a `forebay dev`. No object changes after it is there."""

    def __init__(self, data_dir):
        self.notes = data_dir / "s3" / "objects"
        self.bodies = data_dir / "s3" / "bodies"
        self.counted = {}

    def lines(self):
        """How many have landed. Raises where an object is not gzip."""
        for note in self.notes.iterdir():
            if note.name not in self.counted:
                noted = json.loads(note.read_bytes())
                self.counted[note.name] = sum(1 for _ in self._lines_of(noted))
        return sum(self.counted.values())

    def newest(self):
        """When the last object was put, in seconds since 1970."""
        return max(note.stat().st_mtime for note in self.notes.iterdir())

    def sizes(self):
        """Bytes of each object, compressed."""
        return [self._body(json.loads(note.read_bytes())).stat().st_size for note in self.notes.iterdir()]

    def message_ids(self):
        """Of each line, in no order. Raises where a line is not a whole call."""
        for note in self.notes.iterdir():
            for line in self._lines_of(json.loads(note.read_bytes())):
                call = json.loads(line)
                if not isinstance(call, dict) or not WHOLE_CALL <= call.keys():
                    raise ValueError(f"a line that is not a whole call: {line[:200]!r}")
                yield call["messageId"]

    def _body(self, noted):
        return self.bodies / noted["body"]

    def _lines_of(self, noted):
        # What else Forebay may put there, such as the marker of a day that is over, has no calls.
        if not noted["key"].endswith(".gz"):
            return []
        # The last line may end without a line feed.
        return filter(None, gzip.decompress(self._body(noted).read_bytes()).split(b"\n"))
