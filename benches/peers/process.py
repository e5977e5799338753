"""A program pinned to a core: its cost, and how it ends."""

import os
import signal
import socket
import subprocess
import time

# The collector has its own core; the load generator and the S3 server share the other.
CORE, OTHER_CORE = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 60
DRAIN_SECONDS = 300
LOOK_SECONDS = 0.01


def pinned(core, command):
    """`command`, with all of its threads pinned to `core`. It stays the same process."""
    return ["taskset", "-c", str(core), *map(str, command)]


def free_port():
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Process:
    """One process on a core; its output goes to a file."""

    def __init__(self, core, command, env, log):
        self.log = log
        with log.open("ab") as out:
            self.child = subprocess.Popen(
                pinned(core, command), env=os.environ | env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.returncode is None:
            self.kill()

    def wait_ready(self, port):
        """Waits until it listens. Raises if it ends before, or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except ConnectionRefusedError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the process did not start:\n{self.log.read_text()}") from None
                time.sleep(LOOK_SECONDS)

    def cpu(self):
        """Seconds of CPU so far: user and system, all threads."""
        with open(f"/proc/{self.child.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_rss(self):
        """The peak of its resident memory, in bytes; None if it has ended."""
        with open(f"/proc/{self.child.pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None

    def finish(self):
        """Lets it deliver everything and end. Returns its CPU seconds and its peak memory in bytes."""
        self.child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + DRAIN_SECONDS
        peak = 0
        while True:
            peak = max(peak, self.peak_rss() or 0)
            pid, status, usage = os.wait4(self.child.pid, os.WNOHANG)
            if pid:
                self.child.returncode = os.waitstatus_to_exitcode(status)
                return usage.ru_utime + usage.ru_stime, peak
            if time.monotonic() > deadline:
                raise RuntimeError(f"the process did not end:\n{self.log.read_text()}")
            time.sleep(LOOK_SECONDS)

    def kill(self):
        """kill -9."""
        self.child.kill()
        self.child.wait()
