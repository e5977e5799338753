// What people run today: csvtojson and analytics-node, as the walkthrough "Amazon S3 from Lambda" of the tracking API's
// documentation does, with a collector as its host. node import.mjs FILE HOST WRITE_KEY
import Analytics from 'analytics-node';
import csv from 'csvtojson';
import fs from 'node:fs';

const [file, host, writeKey] = process.argv.slice(2);
const analytics = new Analytics(writeKey, { host, flushAt: 100, maxQueueSize: 1 << 30 });
const rows = await csv({
  colParser: { timestamp: (item) => new Date(item) },
}).fromString(fs.readFileSync(file, 'utf8'));
let waiting = rows.length;
await new Promise((done, failed) => {
  for (const row of rows) {
    analytics.track(row, (error) => {
      if (error) failed(error);
      else if (--waiting === 0) done();
    });
  }
  analytics.flush();
});
console.log(JSON.stringify({ rows: rows.length, rss: process.resourceUsage().maxRSS * 1024 }));
