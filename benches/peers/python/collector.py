"""A collector as a team would write it in an afternoon: FastAPI takes calls, boto3 puts them to S3.

Calls wait in memory until they are put.
"""

import asyncio
import contextlib
import gzip
import os
import uuid

import boto3
import fastapi
import orjson

BATCH_BYTES = int(os.environ["BATCH_BYTES"])
BATCH_SECONDS = float(os.environ["BATCH_SECONDS"])
GZIP_LEVEL = 6

s3 = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"], region_name="us-east-1")


class Batch:
    """Lines that become one object."""

    def __init__(self):
        self.lines = []
        self.bytes = 0

    def put(self):
        """Compresses and uploads the lines, in a separate thread."""
        body = gzip.compress(b"".join(self.lines), GZIP_LEVEL)
        s3.put_object(
            Bucket=os.environ["S3_BUCKET"],
            Key=f"{uuid.uuid4()}.gz",
            Body=body,
            ContentType="application/x-ndjson",
        )


batch = Batch()
deliveries = set()


def close_batch():
    """Starts the delivery of the current batch."""
    global batch
    if batch.lines:
        delivery = asyncio.create_task(asyncio.to_thread(batch.put))
        deliveries.add(delivery)
        delivery.add_done_callback(deliveries.discard)
        batch = Batch()


async def close_in_time():
    while True:
        await asyncio.sleep(BATCH_SECONDS)
        close_batch()


@contextlib.asynccontextmanager
async def lifespan(_app):
    timer = asyncio.create_task(close_in_time())
    yield
    timer.cancel()
    close_batch()
    await asyncio.gather(*deliveries)


app = fastapi.FastAPI(lifespan=lifespan)


@app.post("/{path:path}")
async def take(request: fastapi.Request):
    """Takes a call, an array of calls or an envelope of the tracking API."""
    body = orjson.loads(await request.body())
    calls = body if isinstance(body, list) else body.get("batch", [body])
    for call in calls:
        line = orjson.dumps(call, option=orjson.OPT_APPEND_NEWLINE)
        batch.lines.append(line)
        batch.bytes += len(line)
    if batch.bytes >= BATCH_BYTES:
        close_batch()
    return fastapi.Response(b'{"success":true}', media_type="application/json")
