"""Drives a Python SDK: server.py <SDK, see MODULES> <write key> <base URL> <scenario> [gzip] [one-by-one]

Which version is imported is a matter of PYTHONPATH. With `one-by-one` the next call is made when the SDK has settled
the one before (delivered it, or given it up).
"""

import datetime
import importlib
import json
import logging
import pathlib
import sys

MODULES = {
    "segment": "segment.analytics",
    "segment-1": "analytics",
    "rudder": "rudderstack.analytics",
    "customerio": "customerio.analytics",
    "hightouch": "hightouch.htevents",
}
# The names of the calls' fields in Python.
ARGUMENTS = {
    "anonymousId": "anonymous_id",
    "userId": "user_id",
    "groupId": "group_id",
    "previousId": "previous_id",
}


def arguments(call):
    """The keyword arguments of one call."""
    named = {ARGUMENTS.get(name, name): value for name, value in call.items() if name != "type"}
    if "timestamp" in named:
        named["timestamp"] = datetime.datetime.fromisoformat(named["timestamp"].replace("Z", "+00:00"))
    return named


def main():
    """Makes the scenario's calls, and returns when all are settled."""
    sdk, write_key, url, scenario, *flags = sys.argv[1:]
    scenarios = pathlib.Path(__file__).resolve().parent.parent / "scenarios.json"
    calls = json.loads(scenarios.read_text(encoding="utf-8"))[scenario]

    logging.basicConfig(stream=sys.stderr)
    analytics = importlib.import_module(MODULES[sdk])
    analytics.write_key = write_key
    if sdk == "rudder":
        analytics.dataPlaneUrl = url
    else:
        analytics.host = url
    analytics.gzip = "gzip" in flags
    analytics.on_error = lambda error, items: print(f"{len(items)} given up: {error}", file=sys.stderr)

    for call in calls:
        getattr(analytics, call["type"])(**arguments(call))
        if "one-by-one" in flags:
            analytics.flush()
    analytics.shutdown()


if __name__ == "__main__":
    main()
