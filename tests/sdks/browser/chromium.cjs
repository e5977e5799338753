// Drives a browser SDK in Chromium: node chromium.cjs <sdk> <write key> <base URL> <scenario> [flags...]
//
// standard, batching: the delivery strategy of analytics-next and hightouch.
// beacon: rudder sends with `sendBeacon`.
// one-by-one: the next call is made when the SDK has settled the previous one.
// unload: the page is left as soon as the SDK has accepted the calls, so that it must deliver them while unloading.
//
// The page has another origin than the collector, so that the browser applies CORS and sends preflights. It stays open
// until standard input is closed, as a visitor would keep it open: the SDKs do not report when their queues are empty.
'use strict'

const { createReadStream } = require('node:fs')
const { createServer } = require('node:http')
const path = require('node:path')
const { chromium } = require('playwright-core')

const [sdk, writeKey, url, scenario, ...flags] = process.argv.slice(2)
const calls = require(path.join(__dirname, '..', 'scenarios.json'))[scenario]

const HTML = '<!doctype html><html><head><title>Test page</title><link rel="icon" href="data:,"><script src="/sdk.js"></script></head></html>'
const LOAD_TIMEOUT_MS = 30_000
// Short, so that a test does not wait; or so long that the calls are sent only when the page is left.
const FLUSH_INTERVAL_MS = flags.includes('unload') ? 60_000 : 300

// These functions run in the page: Playwright sends them there as text, so they cannot use anything of this file.

async function loadAnalyticsNext ({ writeKey, url, deliveryStrategy }) {
  // As in docs/sdks.md. The settings document has the address for calls.
  const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load({ writeKey, cdnURL: url }, {
    integrations: { 'Segment.io': { deliveryStrategy } }
  })
  window.analytics = analytics
}

async function loadHightouch ({ writeKey, url, deliveryStrategy }) {
  const { host, protocol } = new URL(url)
  const [analytics] = await window.HtEvents.HtEventsBrowser.load({ writeKey }, {
    apiHost: host,
    protocol: protocol.slice(0, -1),
    integrations: { 'Hightouch.io': { deliveryStrategy } }
  })
  window.analytics = analytics
}

function loadRudder ({ writeKey, url, useBeacon, flushQueueInterval }) {
  window.analytics = new window.rudderanalytics.RudderAnalytics()
  return new Promise((resolve) => window.analytics.load(writeKey, url, {
    configUrl: url,
    ...(useBeacon && { useBeacon, beaconQueueOptions: { flushQueueInterval } }),
    onLoaded: () => resolve()
  }))
}

async function makeSegments ({ type, ...call }) {
  const { analytics } = window
  const { context, integrations, timestamp } = call
  const options = { ...context, ...(integrations && { integrations }), ...(timestamp && { timestamp: new Date(timestamp) }) }
  if (call.anonymousId) analytics.setAnonymousId(call.anonymousId)
  switch (type) {
    case 'page':
    case 'screen': await analytics[type](call.category, call.name, call.properties, options); break
    case 'identify': await analytics.identify(call.userId, call.traits, options); break
    case 'track': await analytics.track(call.event, call.properties, options); break
    case 'group': await analytics.group(call.groupId, call.traits, options); break
    case 'alias': await analytics.alias(call.userId, call.previousId, options); break
    default: throw new Error(`no such call: ${type}`)
  }
}

function makeRudders ({ type, ...call }) {
  const { analytics } = window
  const { anonymousId, context, integrations, timestamp } = call
  const options = { ...context, ...(anonymousId && { anonymousId }), ...(integrations && { integrations }), ...(timestamp && { originalTimestamp: timestamp }) }
  return new Promise((resolve, reject) => {
    const queued = () => resolve()
    switch (type) {
      case 'page': return analytics.page(call.category, call.name, call.properties, options, queued)
      case 'identify': return analytics.identify(call.userId, call.traits, options, queued)
      case 'track': return analytics.track(call.event, call.properties, options, queued)
      case 'group': return analytics.group(call.groupId, call.traits, options, queued)
      case 'alias': return analytics.alias(call.userId, call.previousId, options, queued)
      default: reject(new Error(`no such call: ${type}`))
    }
  })
}

const SDKS = {
  'analytics-next': {
    bundle: () => require.resolve('@segment/analytics-next/dist/umd/index.js'),
    load: loadAnalyticsNext,
    make: makeSegments
  },
  hightouch: {
    bundle: () => require.resolve('@ht-sdks/events-sdk-js-browser/dist/umd/index.js'),
    load: loadHightouch,
    make: makeSegments
  },
  rudder: {
    // The build that contains its plugins: the other one fetches them from the vendor. The package does not export it.
    bundle: () => path.join(path.dirname(require.resolve('@rudderstack/analytics-js/bundled')), '..', 'umd', 'index.js'),
    load: loadRudder,
    make: makeRudders,
    lacks: 'screen'
  }
}

function settings () {
  const batching = { strategy: 'batching', config: { size: 10, timeout: FLUSH_INTERVAL_MS } }
  return {
    writeKey,
    url,
    deliveryStrategy: flags.includes('batching') ? batching : { strategy: 'standard' },
    useBeacon: flags.includes('beacon'),
    flushQueueInterval: FLUSH_INTERVAL_MS
  }
}

function serve () {
  const bundle = SDKS[sdk].bundle()
  const server = createServer((request, response) => {
    if (request.url === '/sdk.js') {
      response.setHeader('content-type', 'text/javascript; charset=utf-8')
      createReadStream(bundle).pipe(response)
    } else {
      response.setHeader('content-type', 'text/html; charset=utf-8')
      response.end(request.url.startsWith('/cart?') ? HTML : '')
    }
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`)))
}

function open () {
  return chromium.launch({
    executablePath: process.env.FOREBAY_CHROMIUM || '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      // So that nothing reaches the internet.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']
  })
}

async function within (milliseconds, what, promise) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} takes more than ${milliseconds} ms`)), milliseconds)
  })
  await Promise.race([promise, late])
  clearTimeout(timer)
}

// Rudder reports only that a call is queued, so the network shows when it was sent.
function answered (page) {
  const predicate = (request) => request.method() === 'POST' && request.url().startsWith(url)
  const seen = (event) => page.waitForEvent(event, { predicate, timeout: 0 })
  return Promise.race([seen('requestfinished'), seen('requestfailed')])
}

async function makeOneByOne (page, make, calls) {
  for (const call of calls) {
    const sent = sdk === 'rudder' ? answered(page) : null
    await page.evaluate(make, call)
    await sent
  }
}

async function visit (page, origin) {
  await page.goto(`${origin}/cart?utm_source=news&utm_campaign=c1`, { referer: 'http://ref.example.test/' })
  const { load, make, lacks } = SDKS[sdk]
  await within(LOAD_TIMEOUT_MS, 'loading the SDK', page.evaluate(load, settings()))
  const possible = calls.filter(({ type }) => type !== lacks)
  if (flags.includes('one-by-one')) {
    await makeOneByOne(page, make, possible)
  } else {
    await Promise.all(possible.map((call) => page.evaluate(make, call)))
  }
  if (flags.includes('unload')) await page.goto(`${origin}/left`)
}

async function stdinClosed () {
  for await (const _ of process.stdin);
}

async function main () {
  const closed = stdinClosed()
  const origin = await serve()
  const browser = await open()
  const page = await browser.newPage()
  page.on('pageerror', (error) => console.error(error))
  page.on('console', (message) => message.type() === 'error' && console.error(message.text(), message.location().url))
  const strangers = []
  page.on('request', (request) => {
    const to = new URL(request.url())
    if (![origin, new URL(url).origin].includes(to.origin) && to.protocol !== 'data:') strangers.push(to.href)
  })
  // A call that is never settled must not keep the page open.
  await Promise.race([visit(page, origin), closed])
  await closed
  await browser.close()
  if (strangers.length) throw new Error(`requests to others than the collector: ${strangers}`)
}

main().then(() => process.exit(0), (error) => {
  console.error(error)
  process.exit(1)
})
