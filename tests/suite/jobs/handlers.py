"""Programs of jobs: they read an event on each line, and write an answer on a line.

    python3 handlers.py MODE [FILE]

answers: the key says what kind of answer the task gets.
slow:    each task takes 20 ms, and its key is added to FILE when it begins.
"""

import json
import os
import sys
import time


def answer(event, code, text, **more):
    result = {"taskId": event["tasks"][0]["taskId"], "resultCode": code, "resultString": text}
    body = {"invocationSchemaVersion": event["invocationSchemaVersion"], "invocationId": event["invocationId"]}
    return json.dumps({**body, "treatMissingKeysAs": "PermanentFailure", "results": [result], **more})


def answers(event, folder):
    task = event["tasks"][0]
    key = task["s3Key"]
    seen = os.path.join(folder, key)
    first = not os.path.exists(seen)
    with open(seen, "a", encoding="utf-8") as tried:
        tried.write("try\n")
    match key:
        case "ok":
            return answer(event, "Succeeded", 'a "quoted", text\nof two lines')
        case "permanent":
            return answer(event, "PermanentFailure", "it is bad")
        case "temporary":
            return answer(event, "TemporaryFailure" if first else "Succeeded", "now it works")
        case "always":
            return answer(event, "TemporaryFailure", "never now")
        case "text":
            return '"a text"'
        case "broken":
            return '{"results": ['
        case "null":
            return "null"
        case "unknown":
            return answer(event, "Done", "")
        case "none":
            return answer(event, "Succeeded", "", results=[])
        case "other":
            return answer(event, "Succeeded", "", invocationId="another")
        case "dies":
            sys.exit(3)
        case "hangs":
            time.sleep(600)
        case "arguments":
            return answer(event, "Succeeded", json.dumps([event["job"].get("userArguments"), task.get("s3Bucket")]))
        case _:
            return answer(event, "Succeeded", key)


def slow(event, begun):
    with open(begun, "a", encoding="utf-8") as file:
        file.write(event["tasks"][0]["s3Key"] + "\n")
    time.sleep(0.02)
    return answer(event, "Succeeded", "done")


mode, where = {"answers": answers, "slow": slow}[sys.argv[1]], sys.argv[2]
for line in sys.stdin:
    print(mode(json.loads(line), where), flush=True)
