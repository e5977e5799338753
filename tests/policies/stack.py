"""Uses the output of `forebay policy` on a server that evaluates policies.

stack.py URL FOREBAY: creates a user `collector` at URL and a stack from the printed CloudFormation template, and gives the
user the printed identity policy; then the same with the stack of a Lambda destination. Prints a JSON object with the result of each request: "passes", or the error code.
"""

import json
import subprocess
import sys
import time

import boto3
from botocore.exceptions import ClientError

URL, FOREBAY = sys.argv[1:]
BUCKET, PREFIX = "events-raw", "logs"
PATIENCE_SECONDS = 60


def client(service, key="test", secret="test", token=None):
    keys = {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token}
    return boto3.client(service, endpoint_url=URL, region_name="us-east-1", **keys)


def printed(*arguments):
    command = [FOREBAY, "policy", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def outcome(request, **arguments):
    try:
        request(**arguments)
        return "passes"
    except ClientError as error:
        return error.response["Error"]["Code"]


def stack(template, name="forebay"):
    """Creates the stack and returns its outputs."""
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        (made,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if made["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}
        if not made["StackStatus"].endswith("IN_PROGRESS") or time.monotonic() > deadline:
            raise RuntimeError(f"the stack is {made['StackStatus']}: {made.get('StackStatusReason')}")
        time.sleep(0.1)


def puts(s3):
    """The results of puts by key and encryption."""
    came = {}
    for key in ("logs/segment-logs/web/0/1.gz", "logs/other/1.gz", "segment-logs/web/0/1.gz"):
        for encryption in ("AES256", "aws:kms", None):
            header = {"ServerSideEncryption": encryption} if encryption else {}
            name = f"put {key} {encryption or 'no header'}"
            came[name] = outcome(s3.put_object, Bucket=BUCKET, Key=key, Body=b"x", **header)
    return came


def main():
    root, iam = client("s3"), client("iam")
    collector = iam.create_user(UserName="collector")["User"]["Arn"]
    key = iam.create_access_key(UserName="collector")["AccessKey"]
    sts = client("sts", key["AccessKeyId"], key["SecretAccessKey"])

    where = ("--bucket", f"{BUCKET}/{PREFIX}")
    ids = ("--external-id", "web-1", "--external-id", "ios-1")
    role = stack(printed("cloudformation", *where, "--principal", collector, *ids))["RoleArn"]
    assume = {"RoleArn": role, "RoleSessionName": "forebay-node"}
    came = {"assume without the collector's policy": outcome(sts.assume_role, ExternalId="web-1", **assume)}
    iam.put_user_policy(
        UserName="collector", PolicyName="forebay", PolicyDocument=printed("collector", "--role", role)
    )
    for external_id in ("web-1", "ios-1", "other"):
        came[f"assume with {external_id}"] = outcome(sts.assume_role, ExternalId=external_id, **assume)
    came["assume without an external id"] = outcome(sts.assume_role, **assume)

    session = sts.assume_role(ExternalId="web-1", **assume)["Credentials"]
    s3 = client("s3", session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    came["over plain HTTP"] = puts(s3)
    # The server has no TLS: remove the statement that requires it, to see the effect of the others.
    policy = json.loads(root.get_bucket_policy(Bucket=BUCKET)["Policy"])
    policy["Statement"] = [it for it in policy["Statement"] if it["Sid"] != "DenyPlainHttp"]
    root.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    came["otherwise"] = puts(s3) | {
        "head bucket": outcome(s3.head_bucket, Bucket=BUCKET),
        "get": outcome(s3.get_object, Bucket=BUCKET, Key="logs/segment-logs/web/0/1.gz"),
        "delete": outcome(s3.delete_object, Bucket=BUCKET, Key="logs/segment-logs/web/0/1.gz"),
        "delete a check": outcome(s3.delete_object, Bucket=BUCKET, Key="logs/segment-logs/_check/n-1"),
    }

    rules = json.loads(printed("lifecycle", *where))
    root.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
    kept = root.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    came["the lifecycle rules are kept as they are"] = kept == rules["Rules"]

    function = "arn:aws:lambda:us-east-1:000000000000:function:on-track"
    what = ("--function-arn", function, "--function-arn", f"{function}:live", *ids)
    name = "lambda-destination-cloudformation"
    invoker = stack(printed(name, "--principal", collector, *what), "forebay-invoker")["RoleArn"]
    iam.put_user_policy(
        UserName="collector", PolicyName="invoker", PolicyDocument=printed("collector", "--role", invoker)
    )
    assume = {"RoleArn": invoker, "RoleSessionName": "forebay-crm"}
    came["the role of a destination"] = {
        f"assume with {external_id}": outcome(sts.assume_role, ExternalId=external_id, **assume)
        for external_id in ("web-1", "ios-1", "other")
    } | {"assume without an external id": outcome(sts.assume_role, **assume)}
    print(json.dumps(came))


if __name__ == "__main__":
    main()
