import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BucketImport, Destination, Import, Kafka, LiveCall, Messages, Partition, Pass, RefusedGroup, SourceStatus, Status } from '../src/api'
import { destinationState, isOver } from '../src/destination-state'
import { type Connection, EventParser, listen } from '../src/events'
import { ExactNumber, jsonText, parseExact } from '../src/exact'
import { afterDone, afterWaits, deletedMessages, filesOf, givenBack, importState, queueDepth, settledRows, settledWords } from '../src/import-state'
import { isHidden, lagRecords, lagWords, neededFor, nodeTitle, placeOfAge, speakingOf, standingOf, ticksOf, troublesOf } from '../src/kafka'
import { add, EMPTY, LIST_MAX, release } from '../src/live-list'
import { headline, level, notices, problems } from '../src/problems'
import { heldRows } from '../src/held-list'
import { addRefused, lately, REFUSED_MAX } from '../src/refused-list'
import { withoutTurns } from '../src/outside'
import { retryCommand } from '../src/retry'
import { fit, NAME_MIN } from '../src/fit'
import { rate, shorten } from '../src/format'
import { href, parseHash } from '../src/route'
import { roundTop } from '../src/scale'
import { spanOf, timeLeft } from '../src/time-left'
import { DAYS_NAMED_MAX, syncCommand, syncCommands } from '../src/sync'

test('events arrive whole, however the bytes were cut', () => {
  const text = ': hello\n\nevent: count\ndata: {"a":\ndata: 1}\n\ndata: x\r\n\r\n'
  const expected = [{ event: 'count', data: '{"a":\n1}' }, { event: 'message', data: 'x' }]
  for (let cut = 0; cut <= text.length; cut += 1) {
    const parser = new EventParser()
    assert.deepEqual([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))], expected, `cut at ${cut}`)
  }
})

// The browser's EventSource gives neither status nor code, and never tries again after a refusal.
test('a stream that is refused says why, and is tried again', async (t) => {
  const answer = { code: 'too_many_viewers', message: 'too many viewers' }
  t.mock.method(globalThis, 'fetch', async () => Response.json(answer, { status: 503 }))
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const states: Connection[] = []
  await new Promise<void>((done) => {
    const stream = listen('/api/live', {
      event: () => {},
      connection: (now) => {
        if (states.push(now) === 4) stream.stop()
        if (now.state === 'retrying') setImmediate(() => states.length < 4 ? t.mock.timers.tick(30_000) : done())
      }
    })
  })
  assert.deepEqual(states.map(({ state }) => state), ['connecting', 'retrying', 'connecting', 'retrying'])
  const [, first] = states
  assert.ok(first?.state === 'retrying')
  assert.deepEqual([first.why.status, first.why.code], [503, 'too_many_viewers'])
})

test('JSON text has the members of the value, indented', () => {
  const value = { a: [1, 'é', null], b: {}, c: [], d: { e: true } }
  assert.equal(jsonText(value), JSON.stringify(value, null, 2))
  assert.equal(jsonText({ n: new ExactNumber('9007199254740993') }), '{\n  "n": 9007199254740993\n}')
  assert.deepEqual(parseExact('{"a":[1,"x"]}'), { a: [1, 'x'] })
})

const call = (id: number) => ({ id, at_ms: id } as LiveCall)
const ids = (calls: LiveCall[]) => calls.map(({ id }) => id)

test('the live list is newest first, without repeats', () => {
  const list = add(add(EMPTY, [call(1), call(2)], false), [call(2), call(3)], false)
  assert.deepEqual(ids(list.rows), [3, 2, 1])
})

test('held calls wait until they are released, and are counted', () => {
  const held = add(add(add(EMPTY, [call(1)], true), [call(2)], true), [call(3)], true)
  assert.deepEqual([ids(held.rows), ids(held.held), held.held_count], [[1], [3, 2], 2])
  assert.deepEqual(ids(release(held).rows), [3, 2, 1])
})

test('calls that are sent again stand where they belong', () => {
  const many = Array.from({ length: 500 }, (_, n) => call(n))
  const shown = add(EMPTY, many.slice(200), false)
  assert.deepEqual(ids(add(shown, many, false).rows), ids(shown.rows))
})

test('the live list is bounded', () => {
  const many = Array.from({ length: LIST_MAX + 50 }, (_, id) => call(id + 10))
  assert.equal(add(EMPTY, many, false).rows.length, LIST_MAX)
  const held = add(add(EMPTY, [call(1)], false), many, true)
  assert.deepEqual([held.held.length, held.held_count, release(held).rows.length], [LIST_MAX, LIST_MAX + 50, LIST_MAX])
})

test('rows stay while somebody reads, and new ones are counted', () => {
  const key = (n: number) => String(n)
  assert.deepEqual(heldRows([2, 1], [4, 3, 2], key, true), { rows: [2, 1], fresh: 2 })
  assert.deepEqual(heldRows([2, 1], [4, 3, 2], key, false), { rows: [4, 3, 2], fresh: 0 })
  assert.deepEqual(heldRows<number>([], [1], key, true), { rows: [1], fresh: 0 })
})

const source = (change: Partial<SourceStatus>) => ({ id: 'web', pending_calls: 0, refused: null, ...change } as SourceStatus)
const status = (change: Partial<Status>) => ({
  ready: true, not_ready: [], degraded: [], alarms: [], oldest_undelivered_seconds: null, spool: { is_full: false }, sources: [], ...change
} as unknown as Status)

test('the header says in a sentence whether all is well', () => {
  const well = status({ sources: [source({ pending_calls: 1_204 })], oldest_undelivered_seconds: 12 })
  assert.deepEqual(headline(well, problems(well)), { verdict: 'All is well', detail: '1,204 calls waiting, the oldest for 12 s' })
  assert.equal(headline(status({}), []).detail, 'everything is delivered')
  const bad = status({ alarms: [{ kind: 'refused', what: 'a', since_ms: 1 }, { kind: 'clock', what: 'b', since_ms: 2 }] })
  assert.equal(headline(bad, problems(bad)).verdict, '2 problems')
  const unready = status({ ready: false, not_ready: ['the spool has stopped'] })
  assert.equal(headline(unready, problems(unready)).verdict, 'Not ready')
})

test('the header does not say that all is well while dead letters are left or requests are refused', () => {
  const now_ms = 10_000_000
  const group = (first_ms: number, requests: number, last_ms = now_ms - 5_000, code = 'invalid_json') => ({ id: first_ms, first_ms, last_ms, requests, code } as RefusedGroup)
  const of = (change: Partial<Status>) => {
    const one = status({ now_ms, ...change })
    return [headline(one, problems(one)).verdict, headline(one, []).detail, ...notices(one).flatMap(({ text, href }) => [text, href])]
  }
  const crm = { name: 'crm', waiting: 0, dead_left: 2 }
  assert.deepEqual(of({ destinations: [crm] }), ['1 notice', 'everything is delivered to the bucket', 'destination crm has 2 dead letters left', '#/destinations/crm'])
  assert.deepEqual(of({ destinations: [crm, { ...crm, name: 'b', dead_left: 1 }] }).slice(2), ['2 destinations have 3 dead letters left', '#/destinations'])
  assert.deepEqual(of({ destinations: [{ ...crm, waiting: 1, dead_left: 0 }] }), ['All is well', 'everything is delivered to the bucket, 1 call waits for destination crm'])
  const refused = (groups: RefusedGroup[], more = 0) => of({ refused_requests: { groups, more } }).slice(2)
  assert.deepEqual(refused([group(now_ms - 60_000, 3), group(now_ms - 7_000, 9)]), ['12 requests were refused in the last 10 minutes', '#/live/_/refused'])
  // A group that began before that counts since then.
  assert.deepEqual(refused([group(now_ms - 7_200_000, 3)], 2)[0], 'at least 3 requests were refused since 00:46')
  assert.deepEqual(refused([group(1, 3, 2), group(now_ms - 1, 1)], 2)[0], '1 request was refused in the last 10 minutes')
  // There is an alarm about those that were refused for lack of space.
  assert.deepEqual(refused([group(1, 3, now_ms, 'spool_full'), group(1, 3, 2)]), [])
  const alarmed = status({ now_ms, destinations: [crm], alarms: [{ kind: 'clock', what: 'b', since_ms: 2 }] })
  assert.equal(headline(alarmed, problems(alarmed)).verdict, '1 problem, 1 notice')
})

test('a failure is no problem once nothing waits and every dead letter was sent again', () => {
  const lane = { function: 'f', types: [], waiting: 0, unread: 0, queued_bytes: 0, oldest_ms: null, in_flight: 0, open_since_ms: null, failing: null, lost: 0 }
  const failing = { class: 'timeout', shown: 'Operation timedout', what: '', remedy: '', since_ms: 1 }
  const one = (change: Partial<Destination>, ...lanes: Partial<typeof lane | { failing: typeof failing, open_since_ms: number }>[]) =>
    ({ name: 'crm', removed: false, dead_stored: 4, dead_sent_again: 4, functions: lanes.map((each) => ({ ...lane, ...each })), ...change } as Destination)
  const check = (it: Destination, ...expected: string[]) => {
    const { tone, word } = destinationState(it)
    assert.deepEqual([tone, word], expected)
  }
  check(one({}, {}), 'well', 'up to date')
  check(one({}, { failing }), 'quiet', 'last call failed')
  check(one({}, { failing, open_since_ms: 1 }), 'quiet', 'last call failed')
  check(one({ dead_sent_again: 5 }, { failing }), 'quiet', 'last call failed')
  check(one({}, { failing }, { waiting: 2 }), 'quiet', 'sending')
  check(one({}, { failing }, { failing, waiting: 2 }), 'problem', 'Operation timedout')
  check(one({ dead_sent_again: 3 }, { failing }), 'problem', 'Operation timedout')
  check(one({ dead_sent_again: 3 }, {}), 'notice', 'dead letters left')
  const mixed = one({}, { failing }, { failing, waiting: 2 })
  assert.deepEqual(mixed.functions.map((each) => isOver(mixed, each)), [true, false])
})

test('degraded alone is a notice', () => {
  const found = problems(status({ degraded: ['the clock steps'] }))
  assert.deepEqual([level(found), found.length], ['notice', 1])
})

test('an alarm is one problem, and its subject stands apart', () => {
  const alarms = [{ kind: 'refused', subject: 'lake', what: 'lake: the store refuses puts', since_ms: 1 }]
  const found = problems(status({ alarms, degraded: ['the store refuses puts'] }))
  assert.deepEqual(found.map(({ what, whom }) => [what, whom]), [['the store refuses puts', ['lake']]])
})

test('each alarm has a sentence as its title, and leads to where one acts', () => {
  const at = (kind: string, subject?: string) => {
    const [problem] = problems(status({ alarms: [{ kind, subject, what: 'why', since_ms: 1 }], sources: [source({ id: 'web' })] }))
    return [problem!.title, problem!.at.href]
  }
  assert.deepEqual(at('destination', 'crm, function on-track'), ['A function takes no calls', '#/destinations/crm'])
  assert.deepEqual(at('destination', 'crm'), ['A function takes no calls', '#/destinations/crm'])
  assert.deepEqual(at('imports'), ['Imports wait for their journal', '#/imports'])
  assert.deepEqual(at('bucket_import', 'orders'), ['An import cannot read its bucket', '#/imports'])
  assert.deepEqual(at('bucket_import', 'orders (files for a person)'), ['Import orders has files that need a person', '#/imports'])
  assert.deepEqual(at('bucket_import', 'orders notified files for a person'), ['Import orders has files that need a person', '#/imports'])
  assert.deepEqual(at('bucket_import', 'orders notified files'), ['Import orders cannot read files that its queue names', '#/imports'])
  assert.deepEqual(at('bucket_import', 'orders (rejected rows)'), ['Import orders has rejected rows that need attention', '#/imports'])
  assert.deepEqual(at('bucket_import', 'orders queue'), ['Import orders cannot receive from its queue', '#/imports'])
  assert.deepEqual(at('refusing', 'web'), ['Calls are refused', '#/sources/web'])
  assert.deepEqual(at('refusing', 'every source'), ['Calls are refused', '#/health'])
  assert.deepEqual(at('of_a_newer_node'), ['Something needs attention: of a newer node', '#/health'])
})

test('a name is shortened in the middle, and its last part stays', () => {
  const name = 's3://forebay/orders/2026/11/day-3.json'
  assert.deepEqual([38, 37, 25, 24, 21, 20, 12, 11].map((most) => shorten(name, most)), [
    name, 's3://forebay/…/day-3.json', 's3://forebay/…/day-3.json', '…forebay/…/day-3.json', '…forebay/…/day-3.json', '…/day-3.json', '…/day-3.json', '…day-3.json'
  ])
  assert.equal(shorten('s3://forebay/orders/', 16), '…forebay/orders/')
  assert.equal(shorten('s3://forebay/orders/', 9), '…/orders/')
  assert.equal(shorten('/srv/exports/orders-2019-complete.csv', 20), 'orders-20…mplete.csv')
  assert.equal(shorten('arn:aws:lambda:eu:1:function:on-track:live', 30), 'arn:aws:lambda:…:on-track:live')
  assert.equal(shorten('short', 1), 's…')
})

test('a text does not repeat its title', () => {
  const told = (kind: string, subject: string, what: string) => problems(status({ alarms: [{ kind, subject, what, since_ms: 1 }] }))[0]!.what
  assert.equal(told('bucket_import', 'orders (files for a person)', 'import orders has given up 2 files, the first s3://a'), 'given up 2 files, the first s3://a')
  assert.equal(told('bucket_import', 'orders queue', 'import orders cannot receive from https://q: denied'), 'https://q: denied')
  assert.equal(told('refusing', 'web', 'calls of web are answered 503 destination_full: full'), '503 destination_full: full')
  assert.equal(told('ledger', '', 'the ledger does not balance: web'), 'web')
  assert.equal(told('clock', '', 'the wall clock is 41 s before the newest call'), 'the wall clock is 41 s before the newest call')
})

test('a table leaves out what has no room, and no column with names is too short', () => {
  const columns = [
    { width: 'auto' }, { width: '10%' }, { width: '100px', roomy: true }, { width: '90px' }, { width: '80px', roomy: true }
  ]
  const wide = fit(columns, 2_000)
  assert.deepEqual(wide.widths, ['auto', '200px', '100px', '90px', '80px'])
  // The names have their least width, and the last column that may be left out goes first.
  assert.deepEqual(fit(columns, 2 * NAME_MIN + 270).widths, ['auto', `${NAME_MIN}px`, '100px', '90px', '80px'])
  assert.deepEqual(fit(columns, 2 * NAME_MIN + 269).widths, ['auto', `${NAME_MIN}px`, '100px', '90px', null])
  assert.deepEqual(fit(columns, 2 * NAME_MIN + 100).widths, ['auto', `${NAME_MIN}px`, null, '90px', null])
  // Names that want more have it as long as there is something to leave out.
  assert.deepEqual(fit([{ width: 'auto', least: 300 }, ...columns.slice(1)], 2 * NAME_MIN + 270).widths, ['auto', `${NAME_MIN}px`, null, '90px', null])
  assert.equal(fit([{ width: 'auto', least: 300 }, ...columns.slice(1)], 200).needs, 2 * NAME_MIN + 90)
  // Where even that is too much, the table is wider than its box, which scrolls.
  assert.deepEqual(fit(columns, 200), { widths: ['auto', `${NAME_MIN}px`, null, '90px', null], needs: 2 * NAME_MIN + 90 })
})

test('a put that fails is a notice before there is an alarm', () => {
  const failing = [source({ id: 'web', bucket: 'lake', last_error: 'put x: connection reset', last_error_since_ms: 7 })]
  const found = problems(status({ sources: failing }))
  assert.deepEqual(found.map(({ level, what, whom }) => [level, what, whom]), [['notice', 'put x: connection reset; nothing is lost: the puts are tried again. `forebay check` prints the exact setting or statement', ['web']]])
  assert.equal(headline(status({ sources: failing }), found).verdict, '1 notice')
  const alarms = [{ kind: 'unreachable', subject: 'lake', what: 'lake: no put succeeds', since_ms: 1 }]
  assert.equal(found[0]?.since_ms, 7)
  assert.equal(problems(status({ sources: failing, alarms })).length, 1)
  // An alarm about one bucket does not hide another one.
  const other = source({ id: 'ios', bucket: 'pond', last_error: 'put y: timed out' })
  assert.deepEqual(problems(status({ sources: [...failing, other], alarms })).map(({ title, whom }) => [title, ...whom]), [['A bucket cannot be reached: lake', 'web'], ['Puts fail and are tried again', 'ios']])
})

test('refused sources are one problem, in the alarm if there is one', () => {
  const refused = { code: 'spool_full', why: 'no space' }
  const sources = Array.from({ length: 10 }, (_, n) => source({ id: `s${n}`, refused }))
  const alone = problems(status({ sources }))
  assert.deepEqual([alone.length, alone[0]?.whom.length, alone[0]?.whom.at(-1)], [1, 9, '2 more'])
  const alarmed = problems(status({ sources, alarms: [{ kind: 'refusing', what: 'x', since_ms: 1 }] }))
  assert.deepEqual([alarmed.length, alarmed[0]?.whom[0]], [1, 's0'])
})

test('a full spool is not ready since its alarm', () => {
  const full = { spool: { is_full: true } as Status['spool'], ready: false, not_ready: ['the spool is full'] }
  const alarms = [{ kind: 'refusing', subject: 'every source', what: 'every source: calls are answered 503', since_ms: 5 }]
  assert.equal(problems(status({ ...full, alarms }))[0]?.since_ms, 5)
  assert.equal(problems(status(full))[0]?.since_ms, null)
})

test('groups of refused requests are replaced as they grow, the latest first', () => {
  const one = (id: number, last_ms: number, requests = 1, code = 'invalid_json') => ({ id, first_ms: 1, last_ms, requests, code } as RefusedGroup)
  const list = addRefused(addRefused([], [one(1, 10), one(2, 20)]), [one(1, 30, 2), one(3, 30)])
  assert.deepEqual(list.map(({ id, requests }) => [id, requests]), [[3, 1], [1, 2], [2, 1]])
  assert.equal(addRefused([], Array.from({ length: 300 }, (_, n) => one(n, n))).length, REFUSED_MAX)
  const late = [one(1, 999_000), one(2, 999_000, 1, 'spool_full'), one(3, 399_000)]
  assert.deepEqual(lately(late, 1_000_000).map(({ id }) => id), [1])
})

test('addresses survive ids with slashes and percent signs', () => {
  assert.deepEqual(parseHash(href('archive', 'a/b 50%', 1_795_392_000_000, 'objects/rooms')), { view: 'archive', rest: ['a/b 50%', '1795392000000', 'objects/rooms'] })
  assert.deepEqual(parseHash(''), { view: '', rest: [] })
  assert.deepEqual(parseHash('#/live/50%'), { view: 'live', rest: ['50%'] })
})

test('the top of a chart is a round number above the values', () => {
  for (const [value, top] of [[0, 1], [105, 150], [1, 1], [0.03, 0.03], [75.6e6, 80e6], [12_400, 15_000]] as const) {
    assert.ok(Math.abs(roundTop(value) - top) < top * 1e-9, `${value}: ${roundTop(value)}`)
  }
})

test('the label in the middle of a chart is what stands there', () => {
  for (const [value, top] of [[0.3, 0.4], [0.03, 0.2], [0.5, 0.6], [1.3, 2], [2.2, 3], [5, 5], [0.95, 1], [13, 15], [105, 150]] as const) {
    const found = roundTop(value, 0.1)
    assert.ok(Math.abs(found - top) < 1e-9 && Number(rate(found / 2)) * 2 === Number(rate(found)), `${value}: ${found}`)
  }
})

test('the command for rejected rows names the node, unless it finds it by itself', () => {
  const command = 'forebay import retry-rejects a.ndjson --source web'
  assert.equal(retryCommand(command, 'http://127.0.0.1:9180'), command)
  assert.equal(retryCommand(command, 'http://node-1:9180'), `${command} --admin http://node-1:9180`)
  // Behind a proxy with TLS: the listener itself speaks plain HTTP.
  assert.equal(retryCommand(command, 'https://forebay.example.com'), command)
})

test('the sync command names the folder of what is shown', () => {
  const place = { bucket: 'lake/raw', endpoint_url: null, region: 'eu-central-1' }
  const day = Date.UTC(2026, 10, 21)
  assert.equal(syncCommand(place, false, 'web', 'calls', day), `aws s3 sync s3://lake/raw/segment-logs/web/${day} ./segment-logs/web/2026-11-21 --region eu-central-1`)
  assert.equal(syncCommand(place, false, 'crm', 'objects/rooms'), 'aws s3 sync s3://lake/raw/segment-logs/_objects/rooms/crm ./segment-logs/_objects/rooms/crm --region eu-central-1')
  const dev = { bucket: 'forebay', endpoint_url: 'http://127.0.0.1:9000', region: 'us-east-1' }
  assert.equal(syncCommand(dev, true, null), 'AWS_ACCESS_KEY_ID=forebay AWS_SECRET_ACCESS_KEY=forebay-secret AWS_DEFAULT_REGION=us-east-1 \\\n  aws s3 sync s3://forebay/segment-logs ./segment-logs --endpoint-url http://127.0.0.1:9000')
})

test('the sync commands are those of the days that are shown', () => {
  const lake = { bucket: 'lake', endpoint_url: null, region: null }
  const places = { web: lake, ios: lake, eu: { ...lake, bucket: 'eu/raw' } }
  const day = (source: string, day_ms: number, stream = 'calls') => ({ source, stream, day_ms })
  const all = [day('web', 2), day('web', 1), day('web', 1, 'rejected'), day('ios', 1), day('eu', 1)]
  const commands = (shown: typeof all, source = '') =>
    syncCommands(shown, source ? all.filter((one) => one.source === source) : all, places, false, source).map(({ command }) => command?.replace('aws s3 sync ', ''))
  assert.deepEqual(commands(all), ['s3://lake/segment-logs ./segment-logs', 's3://eu/raw/segment-logs ./segment-logs'])
  const web = all.slice(0, 3)
  assert.deepEqual(commands(web, 'web'), ['s3://lake/segment-logs/web ./segment-logs/web', 's3://lake/segment-logs/_rejected/web ./segment-logs/_rejected/web'])
  // A filter by date, in two buckets, of which one has only this day.
  assert.deepEqual(commands(all.slice(1)), ["s3://lake/segment-logs ./segment-logs --exclude '*' --include '*/1/*'", 's3://eu/raw/segment-logs ./segment-logs'])
  assert.deepEqual(commands(web.slice(0, 2), 'web'), ["s3://lake/segment-logs/web ./segment-logs/web --exclude '*' --include '2/*' --include '1/*'"])
  assert.deepEqual(commands([all[1]!, all[2]!]), ["s3://lake/segment-logs ./segment-logs --exclude '*' --include 'web/1/*' --include '_rejected/web/1/*'"])
  assert.deepEqual(commands([all[2]!]), ['s3://lake/segment-logs/_rejected/web/1 ./segment-logs/_rejected/web/1970-01-01'])
  const many = Array.from({ length: DAYS_NAMED_MAX + 2 }, (_, n) => day('web', n))
  assert.deepEqual(syncCommands(many.slice(1), many, places, false, 'web').map(({ command }) => command), [null])
  assert.deepEqual(commands([day('gone', 1)]), [])
})

test('what a spool has left is said only when it is known', () => {
  const spool = (change: object) => timeLeft({ seconds_left: null, incoming_bytes_per_second: null, is_full: false, ...change })
  assert.deepEqual(spool({}), ['not known yet', 'what comes in is being measured'])
  assert.deepEqual(spool({ incoming_bytes_per_second: 0 }), ['no limit in sight', 'nothing comes in'])
  assert.deepEqual(spool({ incoming_bytes_per_second: 9, seconds_left: 62 }), ['1 min 02 s', 'without deliveries, at this rate'])
  assert.deepEqual(spool({ incoming_bytes_per_second: 1, seconds_left: 2_547 * 86_400 })[0], 'over a year')
  assert.deepEqual([spanOf(15), spanOf(60), spanOf(600)], ['15 s', '1 min', '10 min'])
  assert.deepEqual(spool({ is_full: true, incoming_bytes_per_second: 0 }), ['none', 'it is full, and calls are refused'])
})

test('a text cannot turn the text around it', () => {
  assert.equal(withoutTurns('\u202eevil \u2066x'), '\\u{202e}evil \\u{2066}x')
  const plain = 'שלום Zoë 😀\u200d'
  assert.equal(withoutTurns(plain), plain)
})

const pass = (change: Partial<Pass>) => ({ files: {}, not_begun: 0, stopped: false, ...change } as Pass)
const bucketImport = (change: Partial<BucketImport>) => ({ name: 'orders', enabled: true, pass_since_ms: null, pass_rows: 0, failing: null, last: pass({}), ...change } as BucketImport)
const queue = (change: Partial<Messages>) => ({ received: 0, in_hand: 0, messages: {}, failing: null, not_done: [], ...change } as Messages)
const claims = { claimed: 0, waiting: [], released: 0, unknown: 0 }
const after = { action: 'move', done: {}, waiting: {}, rejected_rows: 0, first: [], remedies: [] }

test('the state of an import says what needs a person first', () => {
  const check = (change: Partial<BucketImport>, word: string) => assert.equal(importState(bucketImport(change)).word, word)
  check({}, 'up to date')
  check({ last: null }, 'no pass yet')
  check({ last: null, notifications: queue({}) }, 'reads messages')
  check({ failing: 'x', enabled: false }, 'cannot go on')
  check({ enabled: false, notifications: queue({ failing: 'x' }) }, 'paused')
  check({ paused: true }, 'paused')
  check({ notifications: queue({ failing: 'x' }), pass_since_ms: 1 }, 'cannot receive')
  check({ last: pass({ claims: { ...claims, problem: 'x' } }), pass_since_ms: 1 }, 'begins no file')
  check({ pass_since_ms: 1, pass_rows: 1_204 }, 'reading, 1,204 rows')
  check({ last: pass({ files: { failed: 1 }, claims: { ...claims, unknown: 2 } }) }, '1 file not done')
  // A pass over a part of the keys does not show the others.
  check({ whole: pass({ claims: { ...claims, unknown: 2 } }) }, '2 files without a claim')
  check({ last: pass({ after: { ...after, waiting: { due: 5, rejected_rows: 3, changed: 1 } } }) }, 'up to date')
  check({ last: pass({ after: { ...after, waiting: { due: 5, denied: 3, refused: 1 } } }) }, '4 files not moved')
  check({ notifications: queue({ not_done: [{ name: 'a', became: 'poison' }] }) }, '1 file not done')
  // What another instance has not delivered is its own affair.
  check({ last: pass({ claims: { ...claims, claimed: 3, waiting: [{ instance: 'a', files: 3, since_ms: null, first: [] }] } }) }, 'up to date')
})

test('rows that were rejected first are counted once they are settled', () => {
  const file = (change: Partial<Import>) => ({ what: 's3://lake/orders/a', source: 'web', state: 'done', refused: 0, rejected: 0, errors: [{ code: 'a', count: 5, example: null }], ...change } as Import)
  assert.deepEqual([file({ settled: 5 }), file({ rejected: 2, settled: 3 }), file({ rejected: 5 }), file({ sent_again: 4 })].map(settledRows), [5, 3, 0, 4])
  assert.equal(settledWords(file({ rejected: 1, sent_again: 4 })), '4 rows rejected first and sent again')
  assert.equal(settledWords(file({ rejected: 4, settled: 1 })), '1 row rejected at first only: a pass read it again')
  const orders = { name: 'orders', source: 'web', place: 's3://lake/orders/' } as BucketImport
  const all = { name: 'all', source: 'web', place: 's3://lake/' } as BucketImport
  assert.equal(filesOf(orders, [file({}), file({ what: 's3://lake/b' })], [orders]).length, 1)
  // Nobody knows which of two imports read it.
  assert.equal(filesOf(orders, [file({})], [orders, all]).length, 0)
})

test('messages are deleted or go back, and no count is left out', () => {
  const messages = queue({ messages: { done: 5, foreign: 0, other: 1, failed: 2, elsewhere: 3, something_new: 4 } })
  assert.deepEqual(deletedMessages(messages).map(({ count }) => count), [5, 1])
  assert.deepEqual(givenBack(messages), [{ what: 'a file failed', count: 2 }, { what: 'another instance has a file', count: 3 }, { what: 'something new', count: 4 }])
})

test('what a queue has is said with the time at which it said so', () => {
  assert.equal(queueDepth({ waiting: 1_204, in_flight: 2, read_ms: 40_000 }, 60_000), 'about 1,204 waiting and 2 in flight, 20 s ago')
})

test('what is done with imported files is said in words', () => {
  const done = { ...after, done: { moved: 1_204, gone: 1, tagged: 0 }, waiting: { due: 0, denied: 2, something_new: 1 } }
  assert.equal(afterDone(done), '1,204 moved, 1 gone already')
  assert.deepEqual(afterWaits(done), [{ what: 'access denied', count: 2 }, { what: 'something new', count: 1 }])
})

const partition = (more: Partial<Partition> = {}): Partition => ({
  partition: 3, standing: 'delivers', why: null, terms: 1, ended: 0, takeover_seconds: 1, read_offset: 90, end_offset: 90, lag_seconds: 0,
  kept_from_offset: 10, time_left_seconds: null, time_is_short: false, pinned_by: null, left_objects: 0, cut_early: 0, cache_used_bytes: 0, cache_max_bytes: 0,
  window_seconds: null, second_copies: 0, late: 0, without_bucket: [], ...more
})
const WEEK = 7 * 86_400
const kafka = (role: string, more: Partial<Kafka> = {}): Kafka => ({
  role, topic: 'lake-calls', group: 'lake-writers', log_id: '00ff', partitions: 12, retention_seconds: WEEK, sending: null, cache: null, owned: [], elsewhere: [], ...more
})

test('a process shows the views that have something to show', () => {
  const all = ['live', 'partitions', 'sources', 'deliveries', 'destinations', 'archive', 'imports', 'health']
  const shown = (log: Kafka | null) => all.filter((view) => !isHidden(view, log)).join(' ')
  assert.equal(shown(null), 'live sources deliveries destinations archive imports health')
  assert.equal(shown(kafka('collector')), 'live partitions sources health')
  assert.equal(shown(kafka('writer')), 'partitions sources health')
  assert.equal(shown(kafka('dev')), 'live partitions sources deliveries archive health')
  assert.equal(nodeTitle(status({ node: 'a', spool_id: 'b' })), 'Node a, spool b')
  assert.equal(nodeTitle(status({ node: 'a', kafka: kafka('writer') })), 'Writer a, log 00ff')
})

test('a partition says what is wrong with it, the worst first', () => {
  const told = { partition: 1, owner: 'writer-2', told_ms: 5_000, lag_seconds: 0, time_left_seconds: null, pinned_by: null }
  const speaks = (now: number, more = {}) => speakingOf({ ...told, ...more }, now).word
  // A clock that is ahead is no silence.
  assert.deepEqual([speaks(0), speaks(124_999), speaks(125_000), speaks(0, { owner: null })], ['owned', 'owned', 'silent', 'no owner'])
  const word = (more: Partial<Partition>) => standingOf(partition(more)).word
  assert.deepEqual([word({}), word({ standing: 'begins' }), word({ without_bucket: ['web'] })], ['delivers', 'begins', 'no bucket'])
  assert.deepEqual([word({ standing: 'stopped', time_is_short: true }), word({ standing: 'waits' }), word({ time_is_short: true })], ['stopped', 'waits', 'time short'])
  const texts = troublesOf(partition({ standing: 'stopped', why: 'the log was cut', time_left_seconds: 3_600, time_is_short: true, without_bucket: ['web'] }), kafka('writer'))
  assert.deepEqual(texts.map((text) => text.split(':')[0]), ['stopped', 'in 1 h 00 min Kafka deletes calls that are not delivered yet', 'no source in the configuration'])
  assert.deepEqual(troublesOf(partition(), kafka('writer')), [])
})

test('a time line shows minutes and days', () => {
  assert.deepEqual([placeOfAge(0, WEEK), placeOfAge(WEEK, WEEK), placeOfAge(2 * WEEK, WEEK)], [1, 0, 0])
  assert.ok(placeOfAge(60, WEEK) < 0.95 && placeOfAge(86_400, WEEK) > 0.15)
  assert.deepEqual(ticksOf(WEEK).map(({ label }) => label), ['now', '10 min', '1 h', '6 h', '1 d', '7 d'])
  assert.deepEqual(ticksOf(3_600).map(({ label }) => label), ['now', '10 min', '1 h'])
  assert.equal(neededFor(partition({ time_left_seconds: WEEK - 60 }), WEEK, 0), 60)
  assert.equal(neededFor(partition({ pinned_by: { source: 'web', since_ms: 1_000, waits_for: 'age' } }), null, 61_000), 60)
  assert.equal(neededFor(partition(), WEEK, 0), null)
})

test('the lag counts records and time', () => {
  assert.deepEqual([lagRecords(partition()), lagRecords(partition({ end_offset: null })), lagRecords(partition({ end_offset: 80 }))], [0, null, 0])
  assert.deepEqual([lagWords(partition()), lagWords(partition({ end_offset: null })), lagWords(partition({ end_offset: 91, lag_seconds: 2 }))], ['none', 'not known yet', '1 record, 2 s'])
})

test('the header and the problems of a log over Kafka', () => {
  const of = (log: Kafka) => headline(status({ kafka: log }), []).detail
  const sending = { waiting_bytes: 0, silent: [], blocks: 1, unknown: 0, refused: 0, producers_failed: 0 }
  assert.equal(of(kafka('collector', { sending })), 'nothing waits for the brokers')
  assert.equal(of(kafka('collector', { sending: { ...sending, waiting_bytes: 1_200_000 } })), '1.20 MB on the way to the brokers')
  assert.equal(of(kafka('writer', { owned: [partition()] })), 'everything that is read is delivered')
  assert.equal(of(kafka('writer', { owned: [partition({ end_offset: 1_290 })] })), 'everything that is read is delivered, 1,200 records to be read')
  const alarms = [{ kind: 'refusing', subject: 'retention of partition 3', what: 'retention of partition 3: the log deletes calls', since_ms: 1 }, { kind: 'damage', subject: 'lake-2', what: 'lake-2: cut', since_ms: 1 }]
  const [short, damage] = problems(status({ kafka: kafka('writer'), alarms }))
  assert.deepEqual([short!.title, short!.whom, short!.at.href], ['Kafka will soon delete calls that are not delivered', ['partition 3'], '#/partitions'])
  assert.deepEqual([damage!.title, damage!.at.href], ['A partition is damaged', '#/partitions'])
  assert.equal(problems(status({ alarms }))[1]!.title, 'The spool is damaged')
})
