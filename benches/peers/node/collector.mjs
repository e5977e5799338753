// A collector as a team would write it in an afternoon: Express takes calls, the AWS SDK puts them to S3.
//
// Without LOG_DIR, calls wait in memory until they are put. With LOG_DIR, each request is appended to a file and synced
// before it is answered; after a crash, the next start puts the remaining files under the same keys.

import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import express from 'express';

const { PORT, S3_ENDPOINT, S3_BUCKET, LOG_DIR, BATCH_BYTES, BATCH_SECONDS } = process.env;

const compress = promisify(gzip);
const write = promisify(fs.write);
const sync = promisify(fs.fdatasync);

const s3 = new S3Client({ endpoint: S3_ENDPOINT, region: 'us-east-1', forcePathStyle: true });
const deliveries = new Set();
let batch = null;
let batches = 0;

function openBatch() {
  const name = `${Date.now()}-${process.pid}-${batches++}`;
  const file = LOG_DIR ? fs.openSync(path.join(LOG_DIR, name), 'ax') : null;
  return { name, file, lines: [], bytes: 0, writes: [] };
}

async function append(file, lines) {
  const bytes = Buffer.from(lines);
  const { bytesWritten } = await write(file, bytes);
  if (bytesWritten !== bytes.length) throw new Error(`${bytesWritten} of ${bytes.length} bytes were written`);
  await sync(file);
}

async function take(calls) {
  const lines = calls.map((call) => `${JSON.stringify(call)}\n`).join('');
  batch ??= openBatch();
  batch.lines.push(lines);
  batch.bytes += lines.length;
  const written = batch.file === null ? null : append(batch.file, lines);
  if (written) batch.writes.push(written);
  if (batch.bytes >= Number(BATCH_BYTES)) closeBatch();
  await written;
}

function closeBatch() {
  if (batch === null) return;
  const delivery = deliver(batch);
  batch = null;
  deliveries.add(delivery);
  delivery.then(() => deliveries.delete(delivery));
}

async function deliver({ name, file, lines, writes }) {
  await Promise.all(writes);
  await put(name, lines.join(''));
  if (file === null) return;
  fs.closeSync(file);
  fs.unlinkSync(path.join(LOG_DIR, name));
}

async function put(name, lines) {
  const Body = await compress(lines);
  await s3.send(
    new PutObjectCommand({ Bucket: S3_BUCKET, Key: `${name}.gz`, Body, ContentType: 'application/x-ndjson' }),
  );
}

async function recover() {
  for (const name of fs.readdirSync(LOG_DIR)) {
    const file = path.join(LOG_DIR, name);
    const text = fs.readFileSync(file, 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole) await put(name, whole);
    fs.unlinkSync(file);
  }
}

const app = express();
app.use(express.json({ limit: '4mb' }));
app.post('/*path', async (request, response) => {
  const { body } = request;
  await take(Array.isArray(body) ? body : (body.batch ?? [body]));
  response.json({ success: true });
});

if (LOG_DIR) await recover();
const server = app.listen(Number(PORT), '127.0.0.1');
const timer = setInterval(closeBatch, Number(BATCH_SECONDS) * 1000);

process.on('SIGTERM', () => {
  clearInterval(timer);
  server.close(async () => {
    closeBatch();
    await Promise.all(deliveries);
    s3.destroy();
  });
  server.closeIdleConnections();
});
