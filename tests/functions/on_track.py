"""A handler of track calls, for AWS's own runtime client for Python."""

import json
import os


def handler(event, context):
    custom = context.client_context.custom
    with open(os.environ["SEEN"], "a", encoding="utf-8") as seen:
        seen.write(json.dumps({"call": event, "custom": custom, "request": context.aws_request_id}) + "\n")
    if event["event"] == "Throws once" and custom["attempt"] == "1":
        raise KeyError("traits")
