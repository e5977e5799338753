// Drives a server-side Node SDK: node server.cjs <sdk> <write key> <base URL> <scenario> [one-by-one]
//
// With `one-by-one` the next call is made when the SDK has settled the previous one (delivered it, or given up).
// The SDKs are found through NODE_PATH, so that this file needs no node_modules next to it.
'use strict'

const path = require('node:path')

const [sdk, writeKey, url, scenario, pace] = process.argv.slice(2)
const calls = require(path.join(__dirname, '..', 'scenarios.json'))[scenario]

// Short, so that a test does not wait for the SDKs' default of ten seconds.
const FLUSH_INTERVAL_MS = 100

function segment (name) {
  const { Analytics } = require(name)
  const client = new Analytics({ writeKey, host: url, flushInterval: FLUSH_INTERVAL_MS })
  client.on('error', (error) => console.error(String(error.code), String(error.reason)))
  return { client, close: () => client.closeAndFlush() }
}

function callbacksOnly (Constructor, options) {
  const errorHandler = (error) => console.error(String(error))
  const client = new Constructor(writeKey, { flushInterval: FLUSH_INTERVAL_MS, errorHandler, ...options })
  return { client, close: async () => {} }
}

const SDKS = {
  'analytics-node-3': () => segment('@segment/analytics-node'),
  'analytics-node-2': () => segment('@segment/analytics-node-2'),
  'customerio-node': () => segment('@customerio/cdp-analytics-node'),
  'analytics-node-6': () => callbacksOnly(require('analytics-node'), { host: url }),
  'rudder-node': () => callbacksOnly(require('@rudderstack/rudder-sdk-node'), { dataPlaneUrl: url })
}

async function main () {
  const { client, close } = SDKS[sdk]()
  const settled = calls.map(() => null)
  for (const [index, { type, ...fields }] of calls.entries()) {
    if (fields.timestamp) fields.timestamp = new Date(fields.timestamp)
    settled[index] = new Promise((resolve) => client[type](fields, resolve))
    if (pace === 'one-by-one') await settled[index]
  }
  await Promise.all(settled)
  await close()
}

// rudder-sdk-node keeps a timer forever, so the process must exit explicitly.
main().then(() => process.exit(0), (error) => {
  console.error(error)
  process.exit(1)
})
