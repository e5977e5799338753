"""Tables of the measurements."""

import statistics

SPEED = [
    ("answered_per_s", "answered calls/s", 0),
    ("delivered_per_s", "delivered calls/s", 0),
    ("cpu_us_per_call", "CPU us a call", 2),
    ("busy_percent", "of a core, %", 0),
    ("p50_ms", "p50 ms", 1),
    ("p99_ms", "p99 ms", 1),
    ("peak_rss_mb", "peak memory MB", 0),
    ("object_bytes_per_call", "object bytes a call", 1),
    ("object_mb", "object MB", 2),
    ("missing", "missing", 0),
    ("twice", "twice", 0),
    ("refused", "refused requests", 0),
    ("disk_sync_ms", "disk sync ms", 3),
]
LOSS = [
    ("acknowledged", "acknowledged", 0),
    ("missing", "missing", 0),
    ("twice", "twice", 0),
    ("unacknowledged", "there, not acknowledged", 0),
]


def tables(rows):
    """The tables of all rows: first speed, then loss."""
    for calls in sorted({row["calls"] for row in rows}, reverse=True):
        for kind, columns in (("speed", SPEED), ("loss", LOSS)):
            chosen = [row for row in rows if row["kind"] == kind and row["calls"] == calls]
            if chosen:
                yield f"\n{kind}, {calls} calls a request, medians (least to most)\n"
                yield from table(chosen, columns)


def table(rows, columns):
    """A table in Markdown, one line per collector."""
    yield "| collector | " + " | ".join(heading for _, heading, _ in columns) + " |"
    yield "| --- |" + " --- |" * len(columns)
    for name in dict.fromkeys(row["collector"] for row in rows):
        own = [row for row in rows if row["collector"] == name]
        cells = (cell([row[key] for row in own], digits) for key, _, digits in columns)
        yield f"| {name} | " + " | ".join(cells) + " |"


def cell(values, digits):
    """The median, and the spread if there is one."""
    least, median, most = (f"{at(values):,.{digits}f}" for at in (min, statistics.median, max))
    return median if least == most else f"{median} ({least} to {most})"
