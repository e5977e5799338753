"""The two functions of the guide of S3 Batch Operations, for Python 3, as programs of a job.

    python3 functions.py copy|json

Their code is that of the guide. Only what Python 3 and this test need is different: `urllib.parse`, `str(e)`, the name of
the destination bucket, and where S3 is.
"""

import json
import os
import sys
from urllib.parse import unquote, unquote_plus


def copy_and_rename(event, context):
    import boto3
    from botocore.exceptions import ClientError

    s3Client = boto3.client("s3", endpoint_url=os.environ["S3"])
    jobId = event["job"]["id"]
    invocationId = event["invocationId"]
    invocationSchemaVersion = event["invocationSchemaVersion"]
    results = []
    taskId = event["tasks"][0]["taskId"]
    s3Key = unquote(event["tasks"][0]["s3Key"])
    s3VersionId = event["tasks"][0]["s3VersionId"]
    s3BucketArn = event["tasks"][0]["s3BucketArn"]
    s3Bucket = s3BucketArn.split(":::")[-1]
    copySrc = {"Bucket": s3Bucket, "Key": s3Key}
    if s3VersionId is not None:
        copySrc["VersionId"] = s3VersionId
    try:
        resultCode = None
        resultString = None
        newKey = rename_key(s3Key)
        newBucket = "forebay"
        response = s3Client.copy_object(CopySource=copySrc, Bucket=newBucket, Key=newKey)
        resultCode = "Succeeded"
        resultString = str(response)
    except ClientError as e:
        errorCode = e.response["Error"]["Code"]
        errorMessage = e.response["Error"]["Message"]
        if errorCode == "RequestTimeout":
            resultCode = "TemporaryFailure"
            resultString = "Retry request to Amazon S3 due to timeout."
        else:
            resultCode = "PermanentFailure"
            resultString = "{}: {}".format(errorCode, errorMessage)
    except Exception as e:
        resultCode = "PermanentFailure"
        resultString = "Exception: {}".format(e)
    finally:
        results.append({"taskId": taskId, "resultCode": resultCode, "resultString": resultString})
    return {
        "invocationSchemaVersion": invocationSchemaVersion,
        "treatMissingKeysAs": "PermanentFailure",
        "invocationId": invocationId,
        "results": results,
    }


def rename_key(s3Key):
    return s3Key + "_new_suffix"


def json_keys(event, context):
    jobId = event["job"]["id"]
    invocationId = event["invocationId"]
    invocationSchemaVersion = event["invocationSchemaVersion"]
    results = []
    task = event["tasks"][0]
    taskId = task["taskId"]
    s3Key = task["s3Key"]
    s3VersionId = task["s3VersionId"]
    s3BucketArn = task["s3BucketArn"]
    s3BucketName = s3BucketArn.split(":::")[-1]
    try:
        resultCode = "Succeeded"
        resultString = ""
        s3Key_decoded = unquote_plus(s3Key)
        keyJson = json.loads(s3Key_decoded)
        newKey = keyJson["newKey"]
        origKey = keyJson["origKey"]
        resultString = origKey + " --> " + newKey
    except Exception as e:
        resultCode = "PermanentFailure"
        resultString = "Exception: {}".format(e)
    finally:
        results.append({"taskId": taskId, "resultCode": resultCode, "resultString": resultString})
    return {
        "invocationSchemaVersion": invocationSchemaVersion,
        "treatMissingKeysAs": "PermanentFailure",
        "invocationId": invocationId,
        "results": results,
    }


lambda_handler = {"copy": copy_and_rename, "json": json_keys}[sys.argv[1]]
for line in sys.stdin:
    print(json.dumps(lambda_handler(json.loads(line), None)), flush=True)
