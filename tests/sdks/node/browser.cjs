// Drives analytics-next in jsdom: node browser.cjs <sdk> <write key> <base URL> <scenario> <standard|batching> [one-by-one]
//
// `fetch` is removed, so that the SDK uses jsdom's XMLHttpRequest, which obeys the same-origin policy and sends real
// preflights. The page stays open until standard input is closed, as a visitor would keep it open: the SDK does not
// report when its queue of retries is empty.
'use strict'

const path = require('node:path')
const { JSDOM } = require('jsdom')

const [sdk, writeKey, url, scenario, strategy, pace] = process.argv.slice(2)
const calls = require(path.join(__dirname, '..', 'scenarios.json'))[scenario]
const SDKS = {
  'analytics-next-1.84': '@segment/analytics-next',
  'analytics-next-1.70': '@segment/analytics-next-1.70'
}

// The globals that the SDK expects in a page.
const PAGE_GLOBALS = ['window', 'document', 'navigator', 'location', 'localStorage', 'sessionStorage', 'XMLHttpRequest',
  'CustomEvent', 'Event', 'HTMLElement', 'self']

function openPage () {
  const { window } = new JSDOM('<!doctype html><html><head><title>Test page</title><script></script></head><body></body></html>', {
    url: 'http://shop.example.test/cart?utm_source=news&utm_campaign=c1',
    referrer: 'http://ref.example.test/',
    pretendToBeVisual: true
  })
  for (const name of PAGE_GLOBALS) {
    Object.defineProperty(globalThis, name, { value: window[name], configurable: true, writable: true })
  }
  delete globalThis.fetch
}

function deliveryStrategy () {
  return strategy === 'batching' ? { deliveryStrategy: { strategy: 'batching', config: { size: 10, timeout: 300 } } } : {}
}

function make (analytics, { type, ...call }) {
  const { context, integrations, timestamp } = call
  const options = { ...context, ...(integrations && { integrations }), ...(timestamp && { timestamp: new Date(timestamp) }) }
  if (call.anonymousId) analytics.setAnonymousId(call.anonymousId)
  switch (type) {
    case 'page':
    case 'screen': return analytics[type](call.category, call.name, call.properties, options)
    case 'identify': return analytics.identify(call.userId, call.traits, options)
    case 'track': return analytics.track(call.event, call.properties, options)
    case 'group': return analytics.group(call.groupId, call.traits, options)
    case 'alias': return analytics.alias(call.userId, call.previousId, options)
    default: throw new Error(`no such call: ${type}`)
  }
}

async function main () {
  openPage()
  const { AnalyticsBrowser } = require(SDKS[sdk])
  const address = new URL(url).host
  // Applications set their collector here: this setting overrides an `apiHost` in the settings document.
  const [analytics] = await AnalyticsBrowser.load({ writeKey, cdnURL: url }, {
    integrations: { 'Segment.io': { apiHost: `${address}/v1`, protocol: 'http', ...deliveryStrategy() } }
  })
  for (const call of calls) {
    const made = make(analytics, call)
    if (pace === 'one-by-one') await made
  }
  for await (const _ of process.stdin);
}

main().then(() => process.exit(0), (error) => {
  console.error(error)
  process.exit(1)
})
