"""The content of the bucket, read from the files of the S3 server: this counts what is really on disk."""

import gzip
import json

WHOLE_CALL = {"messageId", "type", "context", "userId"}


class Bucket:
    """The bucket of a `forebay dev`. Objects never change after their put."""

    def __init__(self, data_dir):
        self.notes = data_dir / "s3" / "objects"
        self.bodies = data_dir / "s3" / "bodies"
        self.counted = {}

    def lines(self):
        """The number of lines in all objects. Raises if an object is not gzip."""
        for note in self.notes.iterdir():
            if note.name not in self.counted:
                noted = json.loads(note.read_bytes())
                self.counted[note.name] = sum(1 for _ in self._lines_of(noted))
        return sum(self.counted.values())

    def newest(self):
        """The time of the last put, in seconds since 1970."""
        return max(note.stat().st_mtime for note in self.notes.iterdir())

    def sizes(self):
        """The compressed size of each object, in bytes."""
        return [self._body(json.loads(note.read_bytes())).stat().st_size for note in self.notes.iterdir()]

    def message_ids(self):
        """The messageId of each line, in no order. Raises if a line is not a whole call."""
        for note in self.notes.iterdir():
            for line in self._lines_of(json.loads(note.read_bytes())):
                call = json.loads(line)
                if not isinstance(call, dict) or not WHOLE_CALL <= call.keys():
                    raise ValueError(f"a line that is not a whole call: {line[:200]!r}")
                yield call["messageId"]

    def _body(self, noted):
        return self.bodies / noted["body"]

    def _lines_of(self, noted):
        # Other objects of Forebay, such as closed-day markers, contain no calls.
        if not noted["key"].endswith(".gz"):
            return []
        # The last line may lack a line feed.
        return filter(None, gzip.decompress(self._body(noted).read_bytes()).split(b"\n"))
