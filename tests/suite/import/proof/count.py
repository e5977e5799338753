#!/usr/bin/env python3
"""Counts what became of the rows of files.py, from the archive and the files of rejected rows alone.

    count.py PLAN ARCHIVE NOT_DONE REJECTS...

NOT_DONE is a JSON array with the keys that the instances say are not done. Prints one JSON object: how many rows were counted, and `wrong`: each difference from the plan, at most 50.
"""

import collections
import gzip
import json
import pathlib
import sys


def main():
    plan = json.loads(pathlib.Path(sys.argv[1]).read_text())
    events, ids, mutations = collections.Counter(), collections.Counter(), collections.Counter()
    for path in sorted(pathlib.Path(sys.argv[2]).rglob("*.gz")):
        if "_rejected" in path.parts:
            sys.exit(f"rejected by the collector: {path}")
        source = path.parts[path.parts.index("segment-logs") + 1]
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                call = json.loads(line)
                events[(source, call["event"])] += 1
                mutations[source] += "mutation" in call["context"]
                ids[(source, call["messageId"])] += 1
    rejected, in_sets = collections.Counter(), collections.Counter()
    not_done = set(json.loads(pathlib.Path(sys.argv[3]).read_text()))
    for folder in sys.argv[4:]:
        for path in (p for p in pathlib.Path(folder).rglob("*") if p.name.endswith((".ndjson", ".ndjson.gz"))):
            with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
                rejects = [json.loads(line) for line in lines]
            for reject in rejects:
                # A zip's only entry is named after its key.
                key = reject["file"].removeprefix("s3://files/").split("!one entry")[0]
                rejected[(key, reject["row"])] += 1
                # A set is named after the version of the file. Of one that was replaced before any of its rows was
                # stored, the set may stay.
                in_sets[(path.name, key, reject["row"])] += 1
    wrong = [f"{what} is there {times} times" for what, times in events.items() if times > 1]
    wrong += [f"messageId {what} is there {times} times" for what, times in ids.items() if times > 1]
    wrong += [f"rejected row {what} is there {times} times" for what, times in in_sets.items() if times > 1]
    known_events, known_rejects = set(), set()
    good = 0
    for one in plan:
        form, key, fate = one["form"], one["key"], one["fate"]
        found = []
        for version in one["versions"]:
            all_events = {(form, event) for event in version["events"]}
            all_rejects = {(key, row) for row in version["rejected"]}
            known_events |= all_events
            known_rejects |= all_rejects
            found.append((all_events, all_events & events.keys(), all_rejects))
        some = [(all_events, there, all_rejects) for all_events, there, all_rejects in found if there]
        if len(some) > 1:
            wrong.append(f"{key}: rows of both objects that were under it")
        elif fate == "bad" and key not in not_done:
            wrong.append(f"{key}: no instance says that it is bad")
        elif fate in ("good", "late", "replaced"):
            # All rows of a version may be bad.
            only_bad = [version for version in found if not version[0] and version[2] <= rejected.keys()]
            all_events, there, all_rejects = (some or only_bad or found)[0]
            good += len(there)
            if fate == "replaced" and there != all_events and key in not_done:
                # It was replaced while it was read: what was stored stays, and its state says so.
                continue
            if there != all_events:
                missing = sorted(all_events - there)
                wrong.append(f"{key} ({fate}): {len(missing)} of {len(all_events)} rows are missing: {missing[:3]}")
            unseen = sorted(all_rejects - rejected.keys())
            if unseen and (some or fate != "replaced"):
                wrong.append(f"{key} ({fate}): rejected rows that no file has: {unseen[:3]}")
    mirrored = sum(times for (source, _), times in events.items() if source == "mirror")
    if +mutations != collections.Counter(mirror=mirrored):
        wrong.append(f"{mutations} calls are mutations, and {mirrored} of the import that mirrors")
    wrong += [f"{event} is no row" for event in sorted(events.keys() - known_events)]
    wrong += [f"{row} is no bad row" for row in sorted(rejected.keys() - known_rejects)]
    fates = collections.Counter(one["fate"] for one in plan)
    print(json.dumps(dict(rows=sum(events.values()), good=good, rejected=len(rejected), fates=fates, wrong=wrong[:50])))


if __name__ == "__main__":
    main()
