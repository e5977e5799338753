"""Reads a report as a user of S3 Batch Operations does: prints its rows as JSON.

    python3 read_report.py FOLDER

FOLDER holds the objects of one report below their keys. Each file must have the MD5 that the manifest names, and the
SHA-1 that its name is.
"""

import csv
import hashlib
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
[document] = folder.rglob("manifest.json")
manifest = json.loads(document.read_text(encoding="utf-8"))
md5 = pathlib.Path(f"{document}.md5").read_text(encoding="utf-8")
assert md5 == hashlib.md5(document.read_bytes()).hexdigest(), md5
assert manifest["Format"] == "Report_CSV_20180820", manifest
rows = []
for result in manifest["Results"]:
    data = (folder / result["Key"]).read_bytes()
    assert hashlib.md5(data).hexdigest() == result["MD5Checksum"], result
    assert result["Key"].endswith(f"/results/{hashlib.sha1(data).hexdigest()}.csv"), result
    for row in csv.reader(data.decode("utf-8").splitlines(keepends=True), strict=True):
        assert len(row) == 7 and row[3] == result["TaskExecutionStatus"], row
        rows.append(row)
json.dump(rows, sys.stdout)
