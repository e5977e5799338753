"""Programs of jobs: they read an event on each line, and write an answer on a line.

    python3 handlers.py MODE [FILE]

answers: the key says what kind of answer the task gets.
slow:    each task takes 20 ms, and its key is added to FILE when it begins.
random:  tasks fail, hang and kill the program at random; FILE is a folder with a file of each program, in which it
         notes when each task began ("b") and ended ("e"). See proof.rs.
"""

import json
import os
import random
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
        case "surroundings":
            names = ["AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN"]
            return answer(event, "Succeeded", json.dumps([os.environ.get(name) for name in names]))
        case "arguments":
            return answer(event, "Succeeded", json.dumps([event["job"].get("userArguments"), task.get("s3Bucket")]))
        case _:
            return answer(event, "Succeeded", key)


def slow(event, begun):
    with open(begun, "a", encoding="utf-8") as file:
        file.write(event["tasks"][0]["s3Key"] + "\n")
    time.sleep(0.02)
    return answer(event, "Succeeded", "done")


notes = None
PARENT = os.getppid()


def note(what, key):
    # One write, which a kill of this process cannot take back.
    os.write(notes, f"{what} {key} {time.time_ns() // 1_000_000}\n".encode())


def at_random(event, folder):
    global notes
    if notes is None:
        name = f"{os.getpid()}-{time.time_ns()}"
        notes = os.open(os.path.join(folder, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    key = event["tasks"][0]["s3Key"]
    number = int(key[1:])
    note("b", key)
    chance = random.random()
    if chance < 0.001:
        # A program that lost its parent, perhaps before it read this task, has nobody who ends it.
        while os.getppid() == PARENT != 1:
            time.sleep(0.02)
        sys.exit(4)
    note("e", key)
    if chance < 0.004:
        os._exit(3)
    if number % 100 == 3 or chance < 0.02:
        return answer(event, "TemporaryFailure", "not now")
    if number % 50 == 7:
        return answer(event, "PermanentFailure", "it is bad")
    return answer(event, "Succeeded", key)


mode, where = {"answers": answers, "slow": slow, "random": at_random}[sys.argv[1]], sys.argv[2]
for line in sys.stdin:
    print(mode(json.loads(line), where), flush=True)
