"""Calls of the jobs API with boto3, through a proxy.

    python3 control.py URL ACCESS_KEY_ID SECRET_ACCESS_KEY SIGNATURE_VERSION

Each line of standard input is an operation and its parameters, as JSON; each line of standard output is its answer. Without a
secret the requests are not signed.
"""

import json
import sys

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

url, key, secret, signature = sys.argv[1:]
config = Config(
    proxies={"http": url},
    retries={"total_max_attempts": 1},
    signature_version=signature if secret else UNSIGNED,
)
client = boto3.client(
    "s3control",
    region_name="us-east-1",
    endpoint_url=url,
    aws_access_key_id=key,
    aws_secret_access_key=secret or "none",
    config=config,
)
for line in sys.stdin:
    operation, parameters = json.loads(line)
    try:
        answer = getattr(client, operation)(**{"AccountId": "111122223333", **parameters})
    except ClientError as error:
        answer = error.response
    print(json.dumps(answer, default=str), flush=True)
