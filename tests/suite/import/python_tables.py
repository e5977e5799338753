#!/usr/bin/env python3
"""Writes random tables with Python's csv module, in every dialect, for a reader to read back.

    python_tables.py FOLDER [TABLES] [SEED]

FOLDER gets one file for each table and `tables.ndjson`: one object for each with its file, its dialect and
the cells that were written. A null quote means that quotes are plain text.

Left out, because Python itself does not read them back:
- a row of one empty cell under QUOTE_NONE (Python refuses to write it),
- tables that Python's own reader does not return unchanged (counted at the end).
"""

import csv
import io
import itertools
import json
import pathlib
import random
import sys

QUOTING = {
    "all": csv.QUOTE_ALL,
    "minimal": csv.QUOTE_MINIMAL,
    "nonnumeric": csv.QUOTE_NONNUMERIC,
    "none": csv.QUOTE_NONE,
}
PIECES = [
    "", "a", "bc", " ", "  ", "0", "-1.5", "\n", "\r", "\r\n", "\"", "\"\"", "'", "''", "\\", "\\\\", "\\n", "\\\"",
    ",", ";", "\t", "|", "é", "ß", "日本", "😀", "\u2028", "\ufeff", "\u00a0", "null", "=1+1", "#",
]


def dialects():
    for delimiter, quote, ending, quoting in itertools.product(
        [",", ";", "\t", "|"], ["\"", "'"], ["\r\n", "\n", "\r"], QUOTING
    ):
        for escape, doubled in [(None, True), ("\\", True), ("\\", False)]:
            if quoting == "none" and escape is None:
                continue
            yield dict(delimiter=delimiter, quotechar=quote, lineterminator=ending, quoting=QUOTING[quoting],
                       escapechar=escape, doublequote=doubled), quoting


def cell(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.choice([0, 1, 1, 2, 3, 6])))


def table(rng, quoting):
    width = rng.choice([1, 2, 3, 8])
    rows = []
    for _ in range(rng.randint(1, 6)):
        row = [cell(rng) for _ in range(width)]
        if width == 1 and not row[0] and quoting == "none":
            row[0] = "x"
        rows.append(row)
    # A byte order mark at the beginning of a file is no text.
    rows[0][0] = rows[0][0].lstrip("\ufeff") or "x"
    return rows


def python_reads_it(text, options, rows):
    # Numbers are read as floats under QUOTE_NONNUMERIC; only strings are written here, so all are quoted.
    reader = csv.reader(io.StringIO(text, newline=""), strict=False, **options)
    try:
        return [row for row in reader if row] == rows
    except (csv.Error, ValueError):
        return False


def main():
    folder = pathlib.Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    folder.mkdir(parents=True, exist_ok=True)
    every = list(dialects())
    left_out = {}
    with open(folder / "tables.ndjson", "w", encoding="utf-8") as index:
        for number in range(count):
            options, quoting = every[number % len(every)]
            rows = table(rng, quoting)
            text = io.StringIO(newline="")
            csv.writer(text, **options).writerows(rows)
            if not python_reads_it(text.getvalue(), options, rows):
                why = f"{quoting}, escape {options['escapechar']}, doublequote {options['doublequote']}"
                left_out[why] = left_out.get(why, 0) + 1
                continue
            name = f"{number}.csv"
            (folder / name).write_bytes(text.getvalue().encode("utf-8"))
            described = dict(file=name, delimiter=options["delimiter"], quote=options["quotechar"],
                             escape=options["escapechar"], cells=rows, doubled=options["doublequote"],
                             ending=options["lineterminator"], quoting=quoting)
            index.write(json.dumps(described) + "\n")
    for why, tables in sorted(left_out.items()):
        print(f"left out, because Python does not read them back: {tables} of {why}", file=sys.stderr)


if __name__ == "__main__":
    main()
