#!/usr/bin/env python3
"""Makes files for three imports, with bad ones between them, and says what must become of each.

    files.py FOLDER NUMBER SEED

Writes FOLDER/first and FOLDER/second (objects by number; `second` has those that take the place of another), and
FOLDER/plan.json: for each object its key, when it is put, and the events that its rows give. Needs pyarrow, which
also writes zstd.
"""

import csv
import gzip
import io
import json
import pathlib
import random
import sys
import zipfile

import pyarrow
import pyarrow.parquet

# The last one has rows of JSON lines that are mutations.
FORMATS = ("json", "csv", "parquet", "mirror")
# What a key may have in it.
NAMES = ("plain", "with space", "a+b", "50%25 off", "üñï 日本", "it's", "a=b&c", "deep/er")
# One row in so many has no user, and is rejected.
BAD_ONE_IN = 53
# One row in so many repeats the id of another row.
REPEAT_ONE_IN = 17


def rows_of(number, version, count, dice):
    """The rows of an object: an event that no other row has, and a user."""
    start = dice.randrange(BAD_ONE_IN)
    rows = [
        dict(e=f"{number}/{version}/{row}", u=None if (row + start) % BAD_ONE_IN == 0 else f"u{row % 9}", n=row)
        for row in range(count)
    ]
    # Only JSON has ids. Mutations are never merged. Of events, some rows have that of a good one before them, and are dropped for it.
    good = []
    for row in rows:
        repeats = good and dice.randrange(REPEAT_ONE_IN) == 0
        row["i"], row["repeats"] = dice.choice(good) if repeats else row["e"], bool(repeats)
        # A device is enough for a call.
        row["d"] = "phone" if row["u"] is not None else None
        if row["u"] is not None and not repeats:
            good.append(row["i"])
    return rows


def json_lines(rows):
    names = ("e", "u", "n", "i", "d")
    lines = (json.dumps({name: row[name] for name in names if row[name] is not None}) for row in rows)
    return "".join(line + "\n" for line in lines).encode()


def table(rows):
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["e", "u", "n"])
    lines.writerows([row["e"], row["u"] or "", row["n"]] for row in rows)
    return text.getvalue().encode()


def parquet(rows, dice):
    columns = ["e", "u", "n"]
    # Files of one import differ in the order of their columns, and some have one more.
    dice.shuffle(columns)
    arrays = {name: pyarrow.array([row[name] for row in rows]) for name in columns}
    if dice.random() < 0.3:
        arrays["more"] = pyarrow.array([[row["n"], None] for row in rows])
    into = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.table(arrays),
        into,
        compression=dice.choice(["none", "snappy", "gzip", "zstd", "lz4", "brotli"]),
        row_group_size=dice.choice([100, 1_000, 100_000]),
        data_page_version=dice.choice(["1.0", "2.0"]),
        use_dictionary=dice.random() < 0.5,
    )
    return into.getvalue()


def compressed(data, how):
    if how == "gzip":
        # Several members, as log shippers write them.
        half = len(data) // 2
        return gzip.compress(data[:half]) + gzip.compress(data[half:])
    if how == "zstd":
        into = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(into, "zstd") as out:
            out.write(data)
        return into.getvalue().to_pybytes()
    if how == "zip":
        into = io.BytesIO()
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("one entry", data)
        return into.getvalue()
    return data


def written(form, rows, how, dice):
    lines = lambda: json_lines(rows)
    data = dict(json=lines, mirror=lines, csv=lambda: table(rows), parquet=lambda: parquet(rows, dice))[form]()
    return compressed(data, how)


def main():
    folder, number, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    dice = random.Random(seed)
    plan = []
    for part in ("first", "second"):
        (folder / part).mkdir(parents=True)
    for at in range(number):
        form = FORMATS[at % len(FORMATS)]
        how = "none" if form == "parquet" else dice.choice(["none", "gzip", "zstd", "zip"])
        # A step has 2,000 rows: some files have several.
        count = dice.choice([1, 20, 120, 400, 2_100, 4_300] if at % 7 == 0 else [1, 20, 60, 120])
        rows = rows_of(at, 0, count, dice)
        data = written(form, rows, how, dice)
        fate = dice.choices(["good", "bad", "replaced", "deleted", "late"], [80, 5, 5, 4, 6])[0]
        one = dict(number=at, form=form, fate=fate, key=f"in/{form}/{dice.choice(NAMES)}/{at:05}.{form}")
        if fate == "late":
            # Sorts before every other key.
            one["key"] = f"in/{form}/!late {at:05}.{form}"
        if fate == "bad":
            one["why"] = dice.choice(["array", "cut", "header of gzip"] if form in ("json", "mirror") else ["cut"])
            if one["why"] == "array":
                rows, data = [], json.dumps([{"e": "never", "u": "u"}] * 3).encode()
            elif one["why"] == "header of gzip":
                rows, data = [], gzip.compress(data)[:10]
            else:
                data = written(form, rows, how if form == "parquet" else "gzip", dice)
                data = data[: max(len(data) - 9, 4)]
        one["versions"] = [versions_of(form, rows)]
        (folder / "first" / str(at)).write_bytes(data)
        if fate == "replaced":
            rows = rows_of(at, 1, count, dice)
            (folder / "second" / str(at)).write_bytes(written(form, rows, how, dice))
            one["versions"].append(versions_of(form, rows))
        plan.append(one)
    (folder / "plan.json").write_text(json.dumps(plan))


def versions_of(form, rows):
    return dict(
        events=[row["e"] for row in rows if row["u"] is not None and not (form == "json" and row["repeats"])],
        rejected=[row["n"] for row in rows if row["u"] is None],
    )


if __name__ == "__main__":
    main()
