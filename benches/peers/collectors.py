"""The compared collectors, their configurations and commands."""

import dataclasses
import json
import os
import pathlib
import string

from process import free_port

HERE = pathlib.Path(__file__).parent
BUCKET = "forebay"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "forebay", "AWS_SECRET_ACCESS_KEY": "forebay-secret"}
# Forebay batches the calls of each source separately; the peers know no sources and batch all calls together.
WRITE_KEYS = ["peers-0", "peers-1", "peers-2", "peers-3"]

# Bytes of an object before and after gzip: objects should have about the same size for all collectors.
BATCH_BYTES = 20_000_000
OBJECT_BYTES = 2_000_000
# Vector counts the memory of events, several times the bytes of their lines: `object MB` shows whether this fits.
VECTOR_BATCH_BYTES = 50_000_000
BATCH_SECONDS = 5
VECTOR_BUFFER_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Place:
    """The surroundings of a collector: its folder, the address of S3, the packages, the program under test."""

    dir: pathlib.Path
    s3: str
    tools: pathlib.Path
    forebay: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Collector:
    """A collector under test, which takes calls and puts them to S3."""

    name: str
    # Where a call is when it is answered 200.
    when_answered: str
    # The form of several calls in a request: `envelope` or `array`.
    body: str
    # Gives the command and its environment for a place and a port.
    start: callable


def forebay(place, port):
    """Forebay, as `forebay serve`."""
    words = {"port": port, "admin_port": free_port(), "data_dir": place.dir / "spool", "s3": place.s3}
    words |= {"bucket": BUCKET, "object_bytes": OBJECT_BYTES, "batch_seconds": BATCH_SECONDS}
    words["sources"] = "".join(f'[[source]]\nid = "{key}"\nwrite_keys = ["{key}"]\n' for key in WRITE_KEYS)
    config = filled("forebay.toml", place, words)
    return [place.forebay, "--log", "warn", "serve", "--config", config], CREDENTIALS


def vector(disk, acknowledgements):
    """Vector with its buffer on disk or in memory, with or without acknowledgements."""

    def start(place, port):
        data_dir = place.dir / "vector"
        data_dir.mkdir(exist_ok=True)
        buffer = {"type": "memory", "when_full": "block"}
        if disk:
            buffer = {"type": "disk", "when_full": "block", "max_size": VECTOR_BUFFER_BYTES}
        words = {"data_dir": data_dir, "port": port, "bucket": BUCKET, "s3": place.s3}
        words |= {"buffer": json.dumps(buffer), "acknowledgements": json.dumps(acknowledgements)}
        # In memory, an acknowledgement waits for the put: one second, so that answers do not take five.
        seconds = 1 if acknowledgements and not disk else BATCH_SECONDS
        words |= {"batch_bytes": VECTOR_BATCH_BYTES, "batch_seconds": seconds}
        command = [os.environ["VECTOR_BIN"], "--threads", "1", "--quiet"]
        # Enough time to deliver the content of its buffer.
        command += ["--graceful-shutdown-limit-secs", "300", "--config"]
        return [*command, filled("vector.yaml", place, words)], CREDENTIALS

    return start


def node(durable):
    """Express and the AWS SDK, in memory or with each request appended to a file and synced."""

    def start(place, port):
        env = {"NODE_ENV": "production"} | script(place, port)
        if durable:
            env["LOG_DIR"] = str(place.dir / "log")
            (place.dir / "log").mkdir(exist_ok=True)
        return ["node", place.tools / "node" / "collector.mjs"], env

    return start


def python(place, port):
    """FastAPI on uvicorn."""
    command = [place.tools / "python" / "bin" / "uvicorn", "--app-dir", HERE / "python", "collector:app"]
    command += ["--port", port, "--loop", "uvloop", "--http", "httptools"]
    return [*command, "--no-access-log", "--log-level", "warning"], script(place, port)


def script(place, port):
    env = {"PORT": str(port), "S3_ENDPOINT": place.s3, "S3_BUCKET": BUCKET}
    return CREDENTIALS | env | {"BATCH_BYTES": str(BATCH_BYTES), "BATCH_SECONDS": str(BATCH_SECONDS)}


def filled(name, place, words):
    """Writes the template `name`, filled in with `words`, to the folder of the collector."""
    file = place.dir / name
    file.write_text(string.Template((HERE / name).read_text()).substitute(words))
    return file


COLLECTORS = [
    Collector("forebay", "synced to disk", "envelope", forebay),
    Collector("vector-disk", "in memory, on its way to the buffer", "array", vector(True, False)),
    Collector("vector-disk-acks", "in the buffer; synced within 500 ms", "array", vector(True, True)),
    Collector("vector-memory", "in memory", "array", vector(False, False)),
    Collector("vector-memory-acks", "in the bucket", "array", vector(False, True)),
    Collector("node-memory", "in memory", "envelope", node(False)),
    Collector("node-fdatasync", "synced to disk", "envelope", node(True)),
    Collector("python-memory", "in memory", "envelope", python),
]
