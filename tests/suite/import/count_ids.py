#!/usr/bin/env python3
"""Counts the messageIds of all calls below folders.

    count_ids.py FOLDER...

Reads every .gz below each folder and prints one JSON object for it: its objects, lines and different ids, the
ids that occur more than once (at most ten), and a digest of all ids with how often each occurs.
"""

import collections
import gzip
import hashlib
import json
import pathlib
import sys


def counted(folder):
    objects, ids = 0, collections.Counter()
    for path in sorted(pathlib.Path(folder).rglob("*.gz")):
        objects += 1
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            ids.update(json.loads(line)["messageId"] for line in lines)
    digest = hashlib.sha256()
    for name, times in sorted(ids.items()):
        digest.update(f"{name} {times}\n".encode())
    repeated = [name for name, times in sorted(ids.items()) if times > 1]
    return dict(folder=str(folder), objects=objects, lines=sum(ids.values()), ids=len(ids),
                repeated=repeated[:10], sha256=digest.hexdigest())


def main():
    for folder in sys.argv[1:]:
        print(json.dumps(counted(folder)))


if __name__ == "__main__":
    main()
