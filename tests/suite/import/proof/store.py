#!/usr/bin/env python3
"""What the owner of the files does to the store, with boto3.

    store.py URL make            makes the buckets and the queue, and has the store notify it; prints the queue's URL
    store.py URL put FOLDER      puts the files of files.py in a random order, replaces and deletes some, and sends
                                 some notifications twice
    store.py URL open FOLDER     prints how many good tables have no claim that says that they are delivered
    store.py URL archive FOLDER  downloads the bucket of the calls
"""

import json
import pathlib
import random
import sys
import time

import boto3
from botocore.config import Config

KEY = "test"

FORMATS = ("json", "csv", "parquet", "mirror")


def client(url, name):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 10, "mode": "standard"})
    return boto3.client(
        name, endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=KEY, config=config
    )


def make(url):
    s3, sqs = client(url, "s3"), client(url, "sqs")
    for bucket in ("lake", "files", "journal"):
        s3.create_bucket(Bucket=bucket)
    queues = {}
    for form in FORMATS:
        queue = sqs.create_queue(QueueName=form, Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::files"}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        queues[form] = (queue, arn)
    s3.put_bucket_notification_configuration(
        Bucket="files",
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "Id": form,
                    "QueueArn": arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": f"in/{form}/"}]}},
                }
                for form, (_, arn) in queues.items()
            ]
        },
    )
    print(json.dumps({form: queue for form, (queue, _) in queues.items()}))


def put(url, folder):
    s3, sqs = client(url, "s3"), client(url, "sqs")
    plan = json.loads((folder / "plan.json").read_text())
    dice = random.Random(len(plan))
    late = [one for one in plan if one["fate"] == "late"]
    first = [one for one in plan if one["fate"] != "late"]
    dice.shuffle(first)
    later = []
    queues = {form: sqs.get_queue_url(QueueName=form)["QueueUrl"] for form in FORMATS}

    def one_put(one, part):
        body = (folder / part / str(one["number"])).read_bytes()
        s3.put_object(Bucket="files", Key=one["key"], Body=body)
        if dice.random() < 0.1:
            told_twice(sqs, queues[one["form"]], one["key"], len(body))

    for at, one in enumerate(first):
        one_put(one, "first")
        if one["fate"] in ("replaced", "deleted"):
            later.append((at + dice.randrange(1, 40), one))
        for due, changed in [entry for entry in later if entry[0] <= at]:
            later.remove((due, changed))
            change(s3, one_put, changed)
    for _, changed in later:
        change(s3, one_put, changed)
    # The others are known by now, and these sort before them.
    time.sleep(2)
    for one in late:
        one_put(one, "first")


def change(s3, one_put, one):
    if one["fate"] == "deleted":
        s3.delete_object(Bucket="files", Key=one["key"])
    else:
        one_put(one, "second")


def told_twice(sqs, queue, key, size):
    """A notification as S3 sends it, with the key as the documentation encodes it."""
    from urllib.parse import quote_plus

    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "files"},
            "object": {"key": quote_plus(key, safe="/"), "size": size},
        },
    }
    for _ in range(2):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": [record]}))


def claims(s3):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="journal", Prefix="imports/"):
        for found in page.get("Contents", []):
            claim = json.loads(s3.get_object(Bucket="journal", Key=found["Key"])["Body"].read())
            if "state" in claim:
                yield claim


def still_open(url, folder):
    plan = json.loads((folder / "plan.json").read_text())
    wanted = {one["key"] for one in plan if one["form"] == "csv" and one["fate"] in ("good", "late")}
    delivered = {claim["key"] for claim in claims(client(url, "s3")) if claim["state"] == "delivered"}
    print(len(wanted - delivered))


def archive(url, folder):
    s3 = client(url, "s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix="segment-logs/"):
        for found in page.get("Contents", []):
            path = folder / found["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(s3.get_object(Bucket="lake", Key=found["Key"])["Body"].read())


def main():
    url, what = sys.argv[1:3]
    if what == "make":
        make(url)
    elif what == "put":
        put(url, pathlib.Path(sys.argv[3]))
    elif what == "open":
        still_open(url, pathlib.Path(sys.argv[3]))
    elif what == "archive":
        archive(url, pathlib.Path(sys.argv[3]))
    else:
        sys.exit(f"unknown: {what}")


if __name__ == "__main__":
    main()
