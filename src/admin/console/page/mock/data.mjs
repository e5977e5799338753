// The mock's data: realistic, moving with the clock, and the same for the same instant.

const DAY = 86_400_000
const START = Date.now() - 3 * 3_600_000 - 1_234_000
const NODE = 'ab12cd34'
const SPOOL = 'ab12cd34a6ceb28777a557152794be04'
const NAMES = ['checkout-web', 'ios', 'android', 'billing-service-eu-central-1-production', 'marketing-site', 'crm-sync']
const WEIGHT = [34, 21, 17, 6.5, 3, 0.2]
const LIBRARIES = [['@segment/analytics-next', 'npm:next-1.84.3'], ['analytics-swift', '1.9.4'], ['analytics-kotlin', '1.27.0'], ['analytics-python', '2.4.0'], ['analytics.js', '1.70.0'], ['analytics-node', '3.1.0']]

const midnight = (ms) => ms - ms % DAY
const wave = (seed, t) => 1 + 0.35 * Math.sin(t / 47 + seed) + 0.2 * Math.sin(t / 11 + seed * 3) + 0.1 * Math.sin(t * 2.3 + seed * 7)
const hex = (n, length) => (Math.imul(n + 1, 2_654_435_761) >>> 0).toString(16).padStart(8, '0').repeat(4).slice(0, length)
const now = () => Date.now()
/** A node that began a minute ago, with a few calls a second, dead letters left, and files of a bucket. */
const isYoung = (scenario) => scenario === 'young'
/** A node that delivers each second. */
const PACE = (scenario) => scenario === 'restless' ? 1_000 : 10_000
const YOUNG_NAMES = ['my-app', 'shop', 'ios', 'billing']
const YOUNG_SAMPLES = 9
const busy = (scenario) => scenario === 'busy' ? 180 : 1
const rate = (scenario, index, ms) => Math.round(10 * (WEIGHT[index] ?? 1) * busy(scenario) * wave(index, ms / 1_000)) / 10
const isEmpty = (scenario) => scenario === 'empty'
const names = (scenario) => isEmpty(scenario) ? [] : isYoung(scenario) ? YOUNG_NAMES : scenario === 'many' ? Array.from({ length: 10_000 }, (_, n) => `tenant-${String(n).padStart(5, '0')}`) : NAMES
const bucketOf = (scenario) => ['token', 'read', 'masked', 'denied', 'outage'].includes(scenario) ? 'acme-events-raw/tracking/production' : 'forebay'

function key (source, stream, dayMs, atMs, position) {
  const folder = stream === 'rejected' ? `_rejected/${source}` : stream.startsWith('objects/') ? `_objects/${stream.slice(8)}/${source}` : source
  return `segment-logs/${folder}/${dayMs}/${atMs}-${NODE}-${SPOOL}-${String(position).padStart(20, '0')}.gz`
}

function ledger (received, pending) {
  const rejected = Math.round(received / 900)
  const repeated = Math.round(received / 310)
  const stored = received - rejected - repeated
  return { received, stored, rejected, repeated, suppressed: 0, delivered: stored - pending, pending, lost: 0 }
}

const ENCRYPTION = { algorithm: 'aws:kms', kms_key: 'arn:aws:kms:eu-central-1:111122223333:key/5c0f8f0e-3b5c-4a8e-9d3b-0c6c1f0f8a11', bucket_key: true }
const applied = (index) => index % 3 === 1 ? ENCRYPTION : { algorithm: 'AES256', kms_key: null, bucket_key: false }

function source (scenario, id, index) {
  const t = now()
  const up = (t - START) / 1_000
  const received = Math.round((WEIGHT[index] ?? (index % 97) / 20) * busy(scenario) * up)
  const outage = scenario === 'outage' && index !== 1
  const first = t - (outage ? 2_820_000 : t % 10_000) - 900
  const pending = index === 5 ? 0 : Math.round((WEIGHT[index] ?? 1) * busy(scenario) * (t - first) / 1_000)
  const counts = ledger(received, pending)
  const last = t - t % 10_000
  // As a node with flush.max_age 1s: a batch opens and is sealed between two answers.
  const sealed = scenario === 'restless' && t % 4_000 < 2_000
  return {
    id,
    bucket: bucketOf(scenario),
    encryption: index % 3 === 1 ? 'kms alias/events' : 'sse-s3',
    role: index === 1 ? 'arn:aws:iam::111122223333:role/forebay-writer' : null,
    totals: { received, stored: counts.stored, repeated: counts.repeated, rejected: counts.rejected, delivered: counts.delivered },
    ledger: counts,
    ...(index === 5 && { streams: [{ stream: 'objects/rooms', ledger: ledger(48_210, 0) }, { stream: 'objects/products', ledger: ledger(1_204, 12) }] }),
    pending_calls: pending,
    oldest_undelivered_seconds: pending ? Math.round((t - first) / 1_000) : null,
    last_object: received ? { key: key(id, 'calls', midnight(t), last, received), delivered_at_ms: last, bytes: 184_220 * (WEIGHT[index] ?? 1), calls: Math.round((WEIGHT[index] ?? 1) * 10), encryption: applied(index) } : null,
    waiting: outage ? 'a retry' : null,
    last_error: outage ? 'put to acme-events-raw: 503 SlowDown: Please reduce your request rate; the put is retried' : null,
    refused: scenario === 'outage' && index === 3 ? { code: 'destination_full', why: 'the spool keeps no more calls of this source: what waits for its bucket has reached its share; deliveries to the bucket free it' } : null,
    requests_refused: scenario === 'outage' && index === 3 ? 1_840 : 0,
    last_received_ms: index === 5 ? t - 4_320_000 : t - 300,
    libraries: index > 5 ? [] : [{ name: LIBRARIES[index][0], version: LIBRARIES[index][1], last_seen_ms: t - 700 }, ...(index === 0 ? [{ name: '@segment/analytics-next', version: 'npm:next-1.70.0', last_seen_ms: t - 260_000 }] : [])],
    batches: pending && !sealed ? [
      { stream: 'calls', day_ms: midnight(t), calls: pending, bytes: pending * 812, object_bytes_estimate: pending * 96, first_received_at_ms: first, due_at_ms: first + 10_900 },
      ...(index === 0 ? [{ stream: 'rejected', day_ms: midnight(t), calls: 3, bytes: 2_210, object_bytes_estimate: 640, first_received_at_ms: t - 5_000, due_at_ms: t + 5_900 }] : [])
    ] : []
  }
}

function status (scenario) {
  return withKafka(scenario, spoolStatus(scenario))
}

function spoolStatus (scenario) {
  const t = now()
  const sources = names(scenario).map((id, index) => source(scenario, id, index))
  const sum = (name) => sources.reduce((all, one) => all + one.totals[name], 0)
  const totals = Object.fromEntries(['received', 'stored', 'repeated', 'rejected', 'delivered'].map((name) => [name, sum(name)]))
  const all = ledger(totals.received, 0)
  const pending = sources.reduce((n, one) => n + one.pending_calls, 0)
  const counts = { ...all, delivered: all.stored - pending, pending }
  const zero = ledger(0, 0)
  const outage = scenario === 'outage'
  if (scenario === 'unbalanced') counts.delivered -= 12
  const alarms = outage
    ? [
        { kind: 'unreachable', subject: 'acme-events-raw', what: 'no put to acme-events-raw has succeeded since 47 min: put segment-logs/checkout-web/1795132800000/1795185984387: 503 SlowDown: Please reduce your request rate; nothing is lost: the puts are retried until they succeed; run `forebay check` for the fix', since_ms: t - 2_820_000 },
        { kind: 'bucket_import', subject: 'orders (files given up)', what: 'import orders has given up 2 files, the first s3://acme-lake/orders/2026/11/22/orders_2026-11-22T04.json.gz: E-GZIP: the stream ends after 4,194,304 bytes, before its end is marked; it does not read such files again by itself: `forebay import list --import orders --only given_up` shows why, and once that is fixed `forebay import reset-file orders --failed` lets them begin again', since_ms: t - 1_820_000 },
        { kind: 'destination', subject: 'crm, function on-user', what: 'crm, function on-user: it gets no calls but one now and then, Accessdenied: 403 AccessDeniedException; 184,220 calls wait; allow lambda:InvokeFunction on this function in the policy of the role, or without a role in that of the process; test it with: forebay destinations test crm', since_ms: t - 2_820_000 },
        { kind: 'refusing', subject: 'billing-service-eu-central-1-production', what: 'calls of billing-service-eu-central-1-production are answered 503 destination_full: what waits for its bucket has reached its share of the spool (4.2 GB); calls are accepted again when deliveries free space; for more space, raise spool.max_bytes or use a larger disk', since_ms: t - 312_000 }
      ]
    : scenario === 'unbalanced'
      ? [{ kind: 'ledger', what: 'the ledger does not balance: checkout-web, hour 2026-11-23T04:00:00Z: stored 122400, delivered + pending + lost 122388; this is a bug in Forebay, or somebody changed the files of the spool; nothing stops because of it; keep the log and the answer of /api/ledger, and report it', since_ms: t - 61_000 }]
      : []
  const used = isEmpty(scenario) ? 0 : outage ? 16_840_000_000 : 48_000_000 * wave(2, t / 1_000)
  return {
    version: '0.9.0', now_ms: t, uptime_seconds: Math.round((t - START) / 1_000), node: NODE, spool_id: SPOOL, ready: true,
    not_ready: [], degraded: outage ? ['the wall clock is 41 s before the newest call in the spool: received times wait for it'] : [], alarms,
    spool: { used_bytes: Math.round(used), max_bytes: 20_000_000_000, segments: isEmpty(scenario) ? 1 : outage ? 252 : 2, parked_bytes: outage ? 1_204_800_000 : 0, seconds_left: isEmpty(scenario) ? null : outage ? 1_740 : 262_800, incoming_bytes_per_second: isEmpty(scenario) ? 0 : 75_000, is_full: false },
    open_batches: sources.filter((one) => one.pending_calls).length, oldest_undelivered_seconds: sources.reduce((old, one) => Math.max(old ?? 0, one.oldest_undelivered_seconds ?? 0) || null, null),
    totals, s3_proxy: null,
    ledger: { balanced: scenario !== 'unbalanced', differences: scenario === 'unbalanced' ? ['checkout-web, hour 2026-11-23T04:00:00Z: stored 122400, delivered + pending + lost 122388'] : [], totals: counts, object_sets: isEmpty(scenario) ? zero : ledger(49_414, 12), dead_letters: zero },
    refused_requests: { groups: refused(scenario).reverse(), more: 0, dropped_groups: 0, dropped_requests: 0 },
    sealed_objects: outage ? 6 : 0, sources, destinations: behind(scenario), imports: isEmpty(scenario) ? [] : isYoung(scenario) ? youngImports() : bucketImports(outage)
  }
}

const ROLES = { writer: 'writer', 'writer-trouble': 'writer', collector: 'collector', 'collector-trouble': 'collector' }

/** The log over Kafka of the scenarios that have one, and what it changes in the rest of the status. */
function withKafka (scenario, status) {
  const role = ROLES[scenario]
  if (!role) return status
  const t = now()
  const trouble = scenario.endsWith('trouble')
  const week = 604_800
  const log = { role, topic: 'lake-calls', group: 'lake-writers', log_id: '5c0f8f0e3b5c4a8e9d3b0c6c1f0f8a11', partitions: 24, retention_seconds: week, sending: null, cache: null, owned: [], elsewhere: [] }
  const same = { ...status, spool_id: '', spool: { used_bytes: 0, max_bytes: 0, segments: 0, parked_bytes: 0, seconds_left: null, incoming_bytes_per_second: null, is_full: false }, destinations: [], imports: [] }
  const told = (partition) => {
    const silent = trouble && partition === 5
    return {
      partition, owner: trouble && partition === 1 ? null : `lake-writer-${partition % 3 + 2}.internal`, told_ms: trouble && partition === 1 ? null : t - (silent ? 1_900_000 : 4_000), lag_seconds: partition % 4 ? 0 : 2,
      time_left_seconds: week - 600 - partition * 331 % 2_900, pinned_by: { source: NAMES[partition % NAMES.length], since_ms: t - 600_000 - partition * 331_000 % 2_900_000, waits_for: '' }
    }
  }
  if (role === 'collector') {
    const sending = { waiting_bytes: Math.round((trouble ? 21_000_000 : 140_000) * wave(3, t / 1_000)), silent: trouble ? [3, 11, 19] : [], blocks: Math.round((t - START) / 31), unknown: trouble ? 412 : 0, refused: trouble ? 1_840 : 0, producers_failed: trouble ? 2 : 0 }
    const alarms = trouble ? [{ kind: 'refusing', subject: 'kafka', what: 'kafka: no broker acknowledges blocks of partitions 3, 11, 19, so their calls are answered 503: check that brokers run, and that min.insync.replicas of them have each partition', since_ms: t - 61_000 }] : []
    const sources = status.sources.map((one) => ({ ...one, bucket: '', encryption: '', role: null, totals: { ...one.totals, repeated: 0, delivered: 0 }, ledger: ledger(0, 0), streams: [], pending_calls: 0, oldest_undelivered_seconds: null, last_object: null, batches: [] }))
    return { ...same, alarms, ledger: null, sources, open_batches: 0, sealed_objects: 0, oldest_undelivered_seconds: null, kafka: { ...log, sending, elsewhere: Array.from({ length: 24 }, (_, n) => told(n)), heard_ms: t - 3_000 } }
  }
  const one = (partition, more = {}) => {
    const end = 48_211_000 + partition * 977 + Math.round((t - START) / 90)
    const waits = 600 + partition * 331 % 2_900
    return {
      partition, standing: 'delivers', why: null, terms: 1, ended: 0, takeover_seconds: 4 + partition % 5, read_offset: end - (partition % 3 ? 0 : 2), end_offset: end, lag_seconds: partition % 3 ? 0 : 1,
      kept_from_offset: end - 18_400, time_left_seconds: week - waits, time_is_short: false, pinned_by: { source: NAMES[partition % NAMES.length], since_ms: t - waits * 1_000, waits_for: 'age or size' },
      left_objects: 0, cut_early: 0, cache_used_bytes: Math.round(1_100_000_000 * wave(partition, t / 9_000)), cache_max_bytes: 4_166_000_000, window_seconds: 32 + partition, second_copies: 0, late: 0, without_bucket: [], ...more
    }
  }
  const owned = Array.from({ length: 12 }, (_, n) => one(2 * n))
  const alarms = []
  if (trouble) {
    const billing = { source: NAMES[3], since_ms: t - 475_200_000, waits_for: 'its bucket, which refuses: 403 AccessDenied' }
    owned[1] = one(2, { standing: 'stopped', why: 'the log was cut: the record at offset 48,190,112 is not the one that was read before; if the topic was made anew, make a new log', time_left_seconds: null, pinned_by: null, end_offset: null })
    owned[2] = one(4, { standing: 'waits', why: 'a transaction hangs in its notes; end it: kafka-transactions.sh --bootstrap-server BROKER find-hanging', pinned_by: null })
    owned[3] = one(6, { time_left_seconds: 129_600, time_is_short: true, pinned_by: billing, left_objects: 318, terms: 3, ended: 2 })
    owned[4] = one(8, { lag_seconds: 11_042, read_offset: 47_000_000, cut_early: 12, cache_used_bytes: 3_100_000_000, late: 4, second_copies: 2, takeover_seconds: null })
    owned[5] = one(10, { without_bucket: ['new-app'] })
    owned[6] = one(12, { standing: 'begins', pinned_by: null, takeover_seconds: null, window_seconds: null })
    alarms.push({ kind: 'refusing', subject: 'retention of partition 6', what: 'retention of partition 6: in 36 h Kafka deletes calls of partition 6 that are not delivered yet: fix what the other alarms name, or set retention.ms of lake-calls to 1209600000', since_ms: t - 43_200_000 })
    alarms.push({ kind: 'damage', subject: 'lake-2', what: 'lake-2: the log was cut: the record at offset 48,190,112 is not the one that was read before; if the topic was made anew, make a new log', since_ms: t - 7_200_000 })
  }
  const used = owned.reduce((sum, { cache_used_bytes: bytes }) => sum + bytes, 0)
  const sources = status.sources.map((one) => ({ ...one, totals: { received: 0, stored: 0, repeated: 0, rejected: 0, delivered: one.totals.delivered }, last_received_ms: null, libraries: [] }))
  return { ...same, alarms, sources, kafka: { ...log, cache: { used_bytes: used, max_bytes: 50_000_000_000, objects_an_hour: trouble ? 0 : 6 }, owned, elsewhere: Array.from({ length: 12 }, (_, n) => told(2 * n + 1)), heard_ms: t - 3_000 } }
}

/** What the status has of destinations: those with waiting calls or dead letters left. */
function behind (scenario) {
  const all = destinations(scenario).destinations.map(({ name, functions, dead_stored: stored, dead_sent_again: sent }) => ({ name, waiting: functions.reduce((sum, one) => sum + one.waiting, 0), dead_left: Math.max(0, stored - sent) }))
  return all.filter(({ waiting, dead_left: left }) => waiting > 0 || left > 0)
}

function youngImports () {
  const t = now()
  const last = { began_ms: t - 9_400, ended_ms: t - 8_000, listed: 3, list_requests: 1, known: 0, skipped: {}, files: { done: 3 }, not_begun: 0, rows: 412, stored: 403, repeats: 0, rejected: 9, skipped_rows: 0, stopped: false, not_done: [], failed: null }
  const one = (name, place, more) => ({ name, source: 'shop', place, enabled: true, pass_since_ms: null, pass_rows: 0, last, next_ms: t + 39_000, failing: null, failing_since_ms: null, ...more })
  return [one('orders', 's3://forebay/orders/', {}), one('invoices', 's3://forebay/invoices/', { last: { ...last, files: { done: 2, poison: 1 }, not_done: [{ name: 's3://forebay/invoices/2.json', became: 'poison', error: 'E-GZIP: the stream ends before its end is marked: upload the file again' }] } })]
}

function bucketImports (outage) {
  const t = now()
  const pass = { began_ms: t - 24_400, ended_ms: t - 21_000, listed: 1_214, list_requests: 2, known: 1_198, skipped: { folder: 3, foreign: 6 }, files: { done: 4, poison: 2, failed: 1 }, not_begun: 0, rows: 48_212, stored: 48_190, rejected: 22, skipped_rows: 310, stopped: false, not_done: [{ name: 's3://acme-lake/orders/2026/11/22/orders_2026-11-22T04.json.gz', became: 'poison', error: 'E-GZIP: the stream ends after 4,194,304 bytes, before its end is marked: upload the file again' }, { name: 's3://acme-lake/orders/2026/11/22/orders_2026-11-22T05.json.gz', became: 'failed', error: 'E-S3: get of the object: 503 SlowDown; it is tried again' }], failed: null }
  const one = (name, source, place, more) => ({ name, source, place, enabled: true, pass_since_ms: null, pass_rows: 0, last: pass, next_ms: t + 39_000, failing: null, failing_since_ms: null, ...more })
  const claims = { claimed: 0, waiting: [], released: 0, unknown: 0 }
  const lake = (key) => `s3://acme-lake/${key}`
  const others = { ...claims, claimed: 612, released: 2, waiting: [{ instance: '0d7ce1f0a6ceb28777a557152794be04', files: 41, since_ms: t - 5_040_000, first: Array.from({ length: 20 }, (_, n) => lake(`clicks/2026/11/22/part-${String(n).padStart(5, '0')}.snappy.parquet`)) }, { instance: '9f3b0c6c1f0f8a115c0f8f0e3b5c4a8e', files: 1, since_ms: t - 4_000, first: [lake('clicks/2026/11/22/part-00912.snappy.parquet')] }] }
  const lost = { ...others, unknown: 3, unknown_first: `${lake('clicks/2026/11/21/part-00004.snappy.parquet')}: it is gone, and belonged to the instance 9f3b0c6c1f0f8a115c0f8f0e3b5c4a8e`, problem: 'the shared journal s3://acme-state/forebay/ cannot be used, so no new file begins, and what this instance has claimed goes on: access denied: 403 AccessDenied; `forebay policy import-journal --import clicks` prints the policy that the collector needs' }
  const after = { action: 'move', done: {}, waiting: {}, rejected_rows: 0, first: [], remedies: [] }
  const moves = { ...after, done: { moved: 1_204, gone: 1 }, waiting: { due: 12, rejected_rows: 2, ...(outage && { denied: 41 }) }, rejected_rows: 22, first: [...(outage ? [{ name: lake('orders/2026/11/22/orders_2026-11-22T04.json.gz'), why: 'denied', error: '403 AccessDenied: User: arn:aws:sts::111122223333:assumed-role/forebay-reader/forebay-orders is not authorized to perform: s3:DeleteObject' }] : []), { name: lake('orders/2026/11/20/orders_2026-11-20T11.json.gz'), why: 'rejected_rows' }, { name: lake('orders/2026/11/21/orders_2026-11-21T03.json.gz'), why: 'rejected_rows' }], remedies: ['files with rejected rows stay until those are settled: correct the converter and run `forebay import retry-rejects --import orders`, or do without them: `forebay import reset-file orders KEY --accept-rejects`', ...(outage ? ['`forebay policy import-after --import orders` prints the policy that allows it'] : [])] }
  const quiet = { queue: 'https://sqs.eu-central-1.amazonaws.com/111122223333/acme-lake-profiles', received: 0, last_ms: null, in_hand: 0, oldest_ms: null, messages: {}, failing: null, failing_since_ms: null, not_done: [] }
  const messages = { ...quiet, queue: 'https://sqs.eu-central-1.amazonaws.com/111122223333/acme-lake-invoices', received: 48_212, last_ms: t - 1_400, in_hand: 4, oldest_ms: t - 71_000, depth: { waiting: 1_204, in_flight: 9, read_ms: t - 12_000 }, messages: { done: 48_190, foreign: 3, other: 1, failed: 12, elsewhere: 2 }, not_done: [{ name: lake('invoices/2026/11/22/invoices-00412.json.gz'), became: 'failed', error: 'E-S3: get of the object: 503 SlowDown; it is tried again' }] }
  const uncounted = { ...quiet, not_counted: 'how many messages the queue has is not known: access denied: 403 AccessDenied; `forebay policy import-sqs --import profiles` prints the policy that allows it (sqs:GetQueueAttributes)' }
  const deaf = { ...messages, failing: `import invoices cannot receive from ${messages.queue}: access denied: 403 AccessDenied; allow its role or credentials to read the queue: \`forebay policy import-sqs --import invoices\` prints the policy; it tries again every minute`, failing_since_ms: t - 840_000 }
  const well = { ...pass, files: { done: 12 }, skipped: {}, not_done: [], rejected: 0 }
  return [
    one('orders', 'checkout-web', 's3://acme-lake/orders/', { last: { ...pass, after: moves } }),
    one('accounts-of-the-crm-nightly', 'crm-sync', 's3://acme-lake/exports/crm/nightly/accounts/', outage ? { failing: 's3://acme-lake/exports/crm/nightly/accounts/ cannot be listed: 403 AccessDenied; allow s3:ListBucket on arn:aws:s3:::acme-lake', failing_since_ms: t - 940_000, last: null } : { pass_since_ms: t - 12_000, pass_rows: 120_400 }),
    one('clicks', 'ios', 's3://acme-lake/clicks/', { last: { ...well, listed: 24, known: 20, files: { done: 4 }, claims: { ...claims, problem: outage ? lost.problem : null } }, whole: { ...well, claims: outage ? lost : others } }),
    one('invoices', 'billing-service-eu-central-1-production', 's3://acme-lake/invoices/', { next_ms: null, last: null, notifications: outage ? deaf : messages }),
    one('profiles', 'crm-sync', 's3://acme-lake/profiles/', { last: { ...well, claims, after }, notifications: outage ? uncounted : quiet, warnings: ['3 files are not compressed as the converter says (compressionType is gzip), the first s3://acme-lake/profiles/profiles-00001.json with none: the content decides'] }),
    one('history', 'checkout-web', 's3://acme-lake/history/', { enabled: false, next_ms: null, last: null })
  ]
}

function history (scenario) {
  const t = now()
  if (ROLES[scenario] === 'collector') return { step_seconds: 5, now_ms: t, sources: {}, received: [], delivered_bytes: [], spool_bytes: [] }
  const samples = isYoung(scenario) ? YOUNG_SAMPLES : 120
  const times = Array.from({ length: samples }, (_, n) => t - t % 5_000 - (samples - 1 - n) * 5_000)
  const series = (id, index) => times.map((ms) => index === 5 ? 0 : isYoung(scenario) ? Math.round(wave(index, ms / 1_000) * 2) / 10 * (1 + index % 2) : rate(scenario, index, ms))
  const list = names(scenario)
  const sources = Object.fromEntries(list.slice(0, 1_000).map((id, index) => [id, series(id, index)]))
  const received = times.map((_, n) => Math.round(Object.values(sources).reduce((sum, values) => sum + values[n], 0) * 10) / 10)
  return {
    step_seconds: 5, now_ms: t, sources, received, delivered_bytes: received.map((n) => n * 480),
    spool_bytes: times.map((ms, n) => isEmpty(scenario) ? 0 : scenario === 'outage' ? 12_000_000_000 + n * 40_000_000 : Math.round(48_000_000 * wave(2, ms / 1_000)))
  }
}

function delivered (scenario, row) {
  const t = now()
  const list = names(scenario)
  const pace = PACE(scenario)
  const back = scenario === 'restless' ? row : Math.floor(row / 5)
  const at = t - t % pace - back * pace - (scenario === 'outage' ? 2_830_000 : 0)
  // An object stays the same while it moves down the list.
  const n = scenario === 'restless' ? 200_000 - Math.floor(at / pace) % 100_000 : row
  const index = n % 7 === 6 ? 5 : n % Math.min(5, list.length)
  const stream = n % 7 === 6 ? 'objects/rooms' : n % 11 === 9 ? 'rejected' : 'calls'
  const calls = stream === 'rejected' ? 3 : Math.round((WEIGHT[index] ?? 1) * 10 * wave(n, n))
  const id = list[index] ?? list[0]
  return {
    delivered_at_ms: at, source: id, stream, day_ms: midnight(at), bucket: bucketOf(scenario), key: key(id, stream, midnight(at), at - 10_412, 148_211_000 - n * 311),
    calls, bytes: calls * 96 + 210, encryption: applied(index), first_received_at_ms: at - 10_412, seconds_to_deliver: 10 + n % 3, put_ms: 18 + n * 7 % 60, reason: ['age', 'age', 'size', 'flush', 'day_end'][n % 5]
  }
}

function deliveries (scenario, query) {
  const t = now()
  if (isEmpty(scenario)) return { pending: [], delivered: [], listed_since_ms: null }
  const wanted = query.get('source')
  const before = Number(query.get('before') ?? Infinity)
  const all = Array.from({ length: 400 }, (_, n) => delivered(scenario, n)).filter((one) => (!wanted || one.source === wanted) && one.delivered_at_ms < before)
  const waiting = (n, index, state, error, kind) => ({
    source: NAMES[index], stream: 'calls', day_ms: midnight(t), bucket: bucketOf(scenario), key: key(NAMES[index], 'calls', midnight(t), t - 2_820_000 + n * 60_000, 48_211_800 + n * 977), calls: 120_400 + n * 977, bytes: 98_400_000 + n * 12_345,
    state, error, class: kind, since_ms: error ? t - 2_820_000 + n * 60_000 : null, next_try_ms: error ? t - t % 30_000 + 30_000 + n * 1_000 : null, tries: error ? 96 - n * 4 : 1
  })
  const slow = '503 SlowDown: Please reduce your request rate (request id 4TJ2GQ9W0ZZEXAMPLE)'
  const pending = scenario === 'outage'
    ? [
        waiting(0, 0, 'parked', slow, 'transient'), waiting(1, 0, 'waiting', slow, 'transient'), waiting(2, 2, 'waiting', slow, 'transient'),
        waiting(3, 3, 'waiting', '403 AccessDenied: User: arn:aws:sts::111122223333:assumed-role/forebay-writer/i-0abc is not authorized to perform: s3:PutObject on resource "arn:aws:s3:::acme-events-raw/tracking/production/segment-logs/billing-service-eu-central-1-production/1795392000000/1795395600000-ab12cd34.gz"', 'no_access'),
        waiting(4, 4, 'conflict', 'another object with other content stands at this key', 'exists'), waiting(5, 1, 'putting', null, null)
      ]
    : scenario === 'busy' || (scenario === 'restless' && t % 3_000 < 1_500) ? [waiting(0, 0, 'putting', null, null)] : []
  return { pending: pending.filter((one) => !wanted || one.source === wanted), delivered: all.slice(0, Number(query.get('limit') ?? 100)), listed_since_ms: START - 5 * DAY }
}

const places = (scenario) => Object.fromEntries(names(scenario).slice(0, 1_000).map((id) => [id, bucketOf(scenario) === 'forebay' ? { bucket: 'forebay', endpoint_url: 'http://127.0.0.1:9000', region: 'us-east-1' } : { bucket: bucketOf(scenario), endpoint_url: null, region: 'eu-central-1' }]))

function archive (scenario, query) {
  const t = now()
  const wanted = query.get('source')
  const days = []
  for (let back = 0; back < 6 && !isEmpty(scenario); back += 1) {
    names(scenario).slice(0, 200).forEach((id, index) => {
      if (wanted && id !== wanted) return
      for (const stream of index === 5 ? ['calls', 'objects/rooms'] : index === 0 ? ['calls', 'rejected'] : ['calls']) {
        const calls = Math.round((stream === 'rejected' ? 120 : 86_400 * (WEIGHT[index] ?? 1)) * wave(index, back * 30) * (back ? 1 : 0.2))
        const day = midnight(t) - back * DAY
        days.push({
          day_ms: day, date: new Date(day).toISOString().slice(0, 10), source: id, stream, objects: Math.max(1, Math.round(calls / 9_000)), calls, bytes: calls * 96, last_delivered_at_ms: back ? day + DAY + 61_000 : t - 8_000,
          state: back === 0 ? 'open' : back === 1 && scenario === 'outage' ? 'over' : 'closed', why: back === 1 && scenario === 'outage' ? '2 of its objects wait for their bucket: 503 SlowDown' : null
        })
      }
    })
  }
  return { days, places: places(scenario), kept_days: 35, listed_since_ms: isEmpty(scenario) ? null : START - 5 * DAY }
}

const STATEMENT = JSON.stringify({ Effect: 'Allow', Action: 's3:ListBucket', Resource: 'arn:aws:s3:::acme-events-raw', Condition: { StringLike: { 's3:prefix': 'tracking/production/segment-logs/*' } } }, null, 2)

function objects (scenario, query) {
  const from = query.get('from') ?? 'list'
  if (from === 'bucket' && scenario === 'denied') {
    return { objects: [], next: null, from, denied: { error: '403 AccessDenied: User: arn:aws:iam::111122223333:user/forebay is not authorized to perform: s3:ListBucket', statement: STATEMENT } }
  }
  const day = Number(query.get('day'))
  const stream = query.get('stream') ?? 'calls'
  const first = query.get('after') ? 40 : 0
  const list = Array.from({ length: 40 }, (_, n) => n + first).map((n) => ({
    key: key(query.get('source'), stream, day, day + n * 600_000 + 412, 48_000_000 + n * 9_013), bytes: Math.round(864_000 * wave(n, n)), calls: from === 'list' ? Math.round(9_000 * wave(n, n)) : null,
    delivered_at_ms: from === 'list' ? Math.min(now() - 4_000, day + n * 600_000 + 11_000) : null, last_modified_ms: from === 'bucket' ? Math.min(now() - 4_000, day + n * 600_000 + 11_000) : null
  }))
  return { objects: list, next: first ? null : list.at(-1).key, from, denied: null }
}

function imports (scenario) {
  const t = now()
  if (isEmpty(scenario)) return { imports: [], total: 0 }
  const progress = Math.floor((t - START) / 1_000) * 180
  if (isYoung(scenario)) {
    const file = (n, what, more) => ({ id: `imp-y${n}`, what, source: 'shop', state: 'done', begun_ms: t - 9_000 - n * 60_000, ended_ms: t - 8_600 - n * 60_000, rows_read: 120 + n, stored: 119 + n, repeated: 0, refused: 0, rejected: 0, errors: [], why: null, ...more })
    const bad = { errors: [{ code: 'E-CONVERT', count: 5, example: 'line 3: no event_type' }] }
    const files = [
      file(0, 's3://forebay/orders/2026/11/22/day-3.json', { rejected: 1, settled: 4, ...bad }), file(1, 's3://forebay/orders/day-2.json', { settled: 5, ...bad }), file(2, 's3://forebay/orders/day-1.json (rejected rows)', { rejected_again: 1 }),
      file(3, 's3://forebay/invoices/2.json', { state: 'given_up', why: 'E-GZIP: the stream ends before its end is marked: upload the file again', attempts: 3 }), file(4, '/srv/exports/BestOrdersOfTheYear.csv (rejected rows)', {}), file(5, 's3://acme-company-data-lake-eu-central-1/exports/shop/nightly/orders/2026/11/22/part-00000-5c0f8f0e-3b5c-4a8e-9d3b-0c6c1f0f8a11-c000.snappy.parquet', { rejected: 2, ...bad })
    ]
    return { imports: files, total: files.length }
  }
  return {
    total: 412,
    imports: [
      { id: 'imp-9d1e02', what: 's3://acme-uploads/crm/accounts-2026-11-22.csv', source: 'crm-sync', state: 'running', begun_ms: START, ended_ms: null, rows_read: progress, stored: progress - 92, repeated: 80, refused: 0, rejected: 12, errors: [{ code: 'missing_id', count: 12, example: 'row 8,412: neither user_id nor anonymous_id has a value' }], why: null },
      { id: 'imp-9d1e01', what: '/srv/exports/orders-2019-2023-complete-history-with-refunds.csv', source: 'billing-service-eu-central-1-production', state: 'done', begun_ms: t - 9_000_000, ended_ms: t - 8_420_000, rows_read: 1_204_882, stored: 1_204_301, repeated: 0, refused: 241, rejected: 340, errors: [{ code: 'bad_number', count: 312, example: 'row 99,120: amount: "12,40" is not a number' }, { code: 'too_few_columns', count: 28, example: 'row 1,003,441 has 7 of 12 columns' }], rejects_file: '/home/data/.local/state/forebay/rejects/imp_akrirandnvjsxpnqwbopvv3bxi.billing-service-eu-central-1-production.ndjson', retry: 'forebay import retry-rejects /home/data/.local/state/forebay/rejects/imp_akrirandnvjsxpnqwbopvv3bxi.billing-service-eu-central-1-production.ndjson --source billing-service-eu-central-1-production', attempts: 0, why: null },
      { id: 'imp-9d1e00', what: 's3://acme-uploads/crm/accounts-2026-11-21.csv', source: 'crm-sync', state: 'given_up', begun_ms: t - 90_000_000, ended_ms: t - 89_990_000, rows_read: 0, stored: 0, repeated: 0, refused: 0, rejected: 0, errors: [], why: 'the header has no column "account_id", which the map names; change the map or the file, and run `forebay import csv` again', attempts: 3, next: 'it is not tried again until you change the file or the options, or import it with `--force`' },
      { id: 'imp-9d1dff', what: '/srv/exports/track_spring_2024.csv (rejected rows)', source: 'checkout-web', state: 'done', begun_ms: t - 93_000_000, ended_ms: t - 92_999_000, rows_read: 5, stored: 4, repeated: 0, refused: 0, rejected: 0, rejected_again: 1, errors: [{ code: 'bad-time', count: 1, example: 'line 3: column timestamp is not a time: "soon"' }], why: null },
      { id: 'imp-9d1dfe', what: '/srv/exports/track_spring_2024.csv', source: 'checkout-web', state: 'done', begun_ms: t - 94_000_000, ended_ms: t - 93_900_000, rows_read: 6, stored: 1, repeated: 0, refused: 0, rejected: 1, sent_again: 4, errors: [{ code: 'bad-time', count: 5, example: 'line 3: column timestamp is not a time: "soon"' }], rejects_file: '/srv/state/rejects/track_spring_2024.ndjson', retry: 'forebay import retry-rejects /srv/state/rejects/track_spring_2024.ndjson --source checkout-web', why: null },
      ...Array.from({ length: 12 }, (_, n) => ({ id: `imp-${hex(n, 6)}`, what: `s3://acme-uploads/crm/accounts-2026-11-${String(20 - n).padStart(2, '0')}.csv`, source: 'crm-sync', state: 'done', begun_ms: t - (n + 2) * DAY, ended_ms: t - (n + 2) * DAY + 42_000, rows_read: 48_210 + n * 13, stored: 48_210 + n * 13, repeated: 0, refused: 0, rejected: 0, errors: [], why: null }))
    ]
  }
}

const ON_TRACK = 'arn:aws:lambda:eu-central-1:111122223333:function:on-track:live'
const ON_USER = 'arn:aws:lambda:eu-central-1:111122223333:function:on-user'
const FAILURES = {
  'execution-error': { class: 'execution-error', shown: 'Execution Error', what: 'KeyError: \'revenue\'', remedy: 'look at the function\'s error and the tail of its log (log_type = "Tail")' },
  timeout: { class: 'timeout', shown: 'Operation timedout', what: 'no answer within 5 s', remedy: 'make the function faster, or raise its timeout and that of the destination' },
  'access-denied': { class: 'access-denied', shown: 'Accessdenied', what: `403 AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/forebay-invoker/forebay-crm is not authorized to perform: lambda:InvokeFunction on resource: ${ON_USER}`, remedy: 'allow lambda:InvokeFunction on this function in the policy of the role, or without a role in that of the process' }
}
const failure = (name, since) => ({ ...FAILURES[name], since_ms: since })

function destinations (scenario) {
  if (isEmpty(scenario)) return { destinations: [], held_bytes: 0 }
  const t = now()
  const open = scenario === 'outage' ? t - 2_820_000 : null
  const delivered = Math.round((t - START) / 1_000) * 34 * busy(scenario)
  const lane = { unread: 0, waiting: 0, queued_bytes: 0, oldest_ms: null, in_flight: 0, open_since_ms: null, failing: null, lost: 0 }
  const forbidden = { unread: 0, waiting: 184_220, queued_bytes: 148_800_000, oldest_ms: open, in_flight: 0, open_since_ms: open, failing: failure('access-denied', open) }
  const counts = (...them) => them.map(([name, count]) => ({ class: name, shown: FAILURES[name].shown, count }))
  const calm = !open && !isYoung(scenario)
  // Nothing waits, but the last call failed; its dead letter is left or was sent again.
  const failed = scenario === 'restless' ? null : failure('execution-error', t - 312_000)
  return {
    held_bytes: open ? 201_326_592 : 67_108_864,
    destinations: [
      { name: 'crm', kind: 'lambda', config: '/etc/forebay/forebay.toml', removed: false, succeeded: delivered, failed: counts(['execution-error', 41], ['timeout', 7], ...(open ? [['access-denied', 94]] : [])), dead: counts(['execution-error', 41]), dead_stored: isYoung(scenario) ? 6 : 132, dead_sent_again: open ? 0 : isYoung(scenario) ? 4 : 132, dead_unknown: open ? 'this node may not read the notes of replays in acme-events-raw: `forebay policy reader` prints the statements' : null, functions: [{ ...lane, function: ON_TRACK, types: ['track'], ...(calm && { unread: 12, in_flight: 3, waiting: t % 4_000 < 2_000 ? 9 : 0, oldest_ms: t - 240 }) }, { ...lane, function: ON_USER, types: ['identify', 'group'], failing: failed, ...(open && forbidden) }] },
      { name: 'warehouse-migration', kind: 'http', config: '/etc/forebay/forebay.toml', removed: false, succeeded: delivered * 2, failed: [], dead: [], dead_stored: 4, dead_sent_again: 4, functions: [{ ...lane, function: 'https://collector.example.com/v1/batch', types: [] }] }
    ]
  }
}

function attempts (scenario, query) {
  const t = now()
  const masked = scenario === 'masked'
  // A call keeps its result while it moves down the list.
  const step = scenario === 'restless' ? 1_000 : 830
  const tick = Math.floor(t / step)
  const all = Array.from({ length: 60 }, (_, row) => row).map((row) => {
    const n = scenario === 'restless' ? 100_000 - (tick - row) % 100_000 : row
    const name = n % 13 === 4 ? 'execution-error' : n % 29 === 7 ? 'timeout' : scenario === 'outage' && n % 10 === 1 ? 'access-denied' : null
    const failed = name && failure(name, null)
    return {
      at_ms: t - row * step - t % step, function: name === 'access-denied' ? ON_USER : ON_TRACK, source: NAMES[n % 3], type: name === 'access-denied' ? 'identify' : 'track', message_id: `ajs-next-${hex(tick - row, 12)}`, attempt: 1,
      millis: name === 'timeout' ? 5_001 : 18 + n % 40,
      failed: failed && masked ? { ...failed, what: '' } : failed,
      request_id: name === 'timeout' ? null : `${hex(n, 8)}-7f6c-4c1f-9f35-${hex(n + 1, 12)}`, version: failed ? null : '14',
      log_tail: name === 'execution-error' && !masked ? 'START RequestId: 5f0c Version: 14\n[ERROR] KeyError: \'revenue\'\nTraceback (most recent call last):\n  File "/var/task/on_track.py", line 6, in handler\n    total = event["properties"]["revenue"]\nEND RequestId: 5f0c\nREPORT RequestId: 5f0c\tDuration: 18.02 ms\tBilled Duration: 19 ms\tMemory Size: 128 MB\tMax Memory Used: 41 MB\n' : null
    }
  })
  const wanted = query.get('class')
  return { attempts: all.filter(({ failed }) => !wanted || (failed?.class ?? 'success') === wanted), masked }
}

const latency = (count, base) => {
  const recent = Array.from({ length: 120 }, (_, n) => Math.round(base * 100 * Math.abs(wave(base, n + Math.floor(now() / 5_000)) * (n % 29 === 7 ? 4 : 1))) / 100)
  return { count, p50_ms: count ? base : null, p99_ms: count ? base * 6.4 : null, max_ms: count ? base * 14.2 : null, recent: count ? recent : [] }
}

const CONFIG = [
  ['admin.listen', '127.0.0.1:9180', 'default'], ['admin.live_view', 'full', 'file'], ['admin.metrics_without_token', 'false', 'default'], ['admin.read_token', '(hidden)', 'environment'], ['admin.token', '(hidden)', 'environment'],
  ['collector.allowed_origins', '', 'default'], ['collector.listen', '0.0.0.0:8080', 'file'], ['collector.max_body', '32 MiB', 'default'], ['collector.max_event', '32 KiB', 'default'], ['collector.trusted_proxies', '10.0.0.0/8, 2001:db8:1234:5678::/64', 'file'], ['collector.unknown_key', 'refuse', 'default'],
  ['flush.align', '', 'default'], ['flush.max_age', '10s', 'flag'], ['flush.max_bytes', '100 MB', 'default'], ['s3.bucket', 'acme-events-raw/tracking/production', 'file'], ['s3.checksums', 'crc32c', 'default'], ['s3.encryption', 'sse-s3', 'default'], ['s3.endpoint_url', '', 'default'], ['s3.put', 'create-only', 'default'], ['s3.region', 'eu-central-1', 'file'],
  ['spool.dedupe_window', '24h', 'default'], ['spool.dir', '/var/lib/forebay', 'default'], ['spool.max_bytes', '20 GB', 'default'], ['spool.node', NODE, 'default'], ['spool.segment_bytes', '64 MiB', 'default']
].map(([name, value, from]) => ({ name, value, from }))

function node (scenario) {
  const t = now()
  const n = isEmpty(scenario) ? 0 : Math.round((t - START) / 1_000) * 81 * busy(scenario)
  return {
    version: '0.9.0', commit: '92b787e4f1c02b7d8f0e', built: '2026-11-22', os: 'Linux 6.1.0 x86_64', started_ms: START, now_ms: t, uptime_seconds: Math.round((t - START) / 1_000),
    clock: { wall_ms: t, steps: 0 },
    sync: latency(n, 1.84), put: latency(isEmpty(scenario) ? 0 : 4_120, 21.4), put_failures: [{ kind: 'transient', count: scenario === 'outage' ? 1_804 : 0 }, { kind: 'no_access', count: scenario === 'outage' ? 96 : 0 }, { kind: 'refused', count: 0 }],
    answers: n ? [{ status: 200, count: n }, { status: 204, count: Math.round(n / 40) }, { status: 400, count: 12 }, { status: 401, count: 408 }, ...(scenario === 'outage' ? [{ status: 503, count: 1_840 }] : [])] : [],
    connections: isEmpty(scenario) ? 0 : 212, memory_bytes: 61_400_000, open_files: { used: 248, max: 65_536 }, spool_dir: '/var/lib/forebay', config: CONFIG, sdk_address: 'http://127.0.0.1:8080', dev_key: true
  }
}

function sdks (scenario, query) {
  const k = ['token', 'read', 'masked', 'denied'].includes(scenario) ? `<write key of ${query.get('source') ?? 'SOURCE'}>` : query.get('source') ?? 'my-app'
  const url = 'http://127.0.0.1:8080'
  return {
    address: url,
    sdks: [
      { name: 'curl', language: 'sh', code: `curl -u '${k}:' ${url}/v1/track -d '{"userId":"u1","event":"Hello","properties":{"n":1}}'`, note: null },
      { name: 'Browser (analytics-next)', language: 'js', code: `const analytics = AnalyticsBrowser.load(\n  { writeKey: '${k}', cdnURL: '${url}' },\n  { integrations: { 'Segment.io': {\n    apiHost: '127.0.0.1:8080/v1', protocol: 'http' } } }\n)`, note: 'Pages on https need TLS in Forebay or in front of it.' },
      { name: 'Node', language: 'js', code: `new Analytics({ writeKey: '${k}', host: '${url}' })`, note: null },
      { name: 'Python', language: 'python', code: `analytics.write_key = '${k}'\nanalytics.host = '${url}'\nanalytics.gzip = True`, note: null },
      { name: 'Java', language: 'java', code: `Analytics.builder("${k}").endpoint("${url}").build()`, note: null },
      { name: 'Go', language: 'go', code: `analytics.NewWithConfig("${k}", analytics.Config{Endpoint: "${url}"})`, note: 'No test of Forebay runs this SDK.' }
    ]
  }
}

/** The answer to a request, or nothing for a route that does not exist. */
export function api (scenario, method, path, query) {
  if (method === 'POST' && path === '/api/flush') {
    return { body: scenario === 'outage' ? { sealed: 3, delivered: 1, pending: 6 } : isEmpty(scenario) ? { sealed: 0, delivered: 0, pending: 0 } : { sealed: 5, delivered: 5, pending: 0 }, afterMs: 900 }
  }
  const routes = {
    '/api/status': status, '/api/history': history, '/api/deliveries': deliveries, '/api/archive': archive, '/api/archive/objects': objects,
    '/api/find': find, '/api/imports': imports, '/api/destinations': destinations, '/api/destinations/crm/deliveries': attempts,
    '/api/destinations/warehouse-migration/deliveries': () => ({ attempts: [], masked: scenario === 'masked' }), '/api/node': node, '/api/sdks': sdks,
    '/api/archive/peek': (_scenario, asked) => ({ key: asked.get('key'), lines: Array.from({ length: 8 }, (_, n) => call('calm', n, asked.get('source')).line), more: true, denied: null })
  }
  return routes[path] && { body: routes[path](scenario, query) }
}

const EVENTS = ['Product Viewed', 'Checkout Started', 'Order Completed', 'Coupon Applied', 'Search Performed', 'Añadido al carrito', 'Video Playback Paused After Buffering', 'Cart Updated']
const TYPES = ['track', 'track', 'page', 'track', 'identify', 'track', 'screen', 'track', 'group', 'track', 'object', 'rejected']

function call (scenario, id, only) {
  const t = now()
  const type = TYPES[parseInt(hex(id, 4), 16) % TYPES.length]
  const from = only || NAMES[type === 'object' ? 5 : id % 5]
  const hidden = scenario === 'masked'
  const value = (text) => hidden ? '[hidden]' : text
  const user = id % 4 ? `u_${hex(id, 8)}` : `${hex(id, 8)}-7f6c-4c1f-9f35-${hex(id + 1, 12)}`
  const name = { track: EVENTS[id % EVENTS.length], page: ['Home', 'Pricing', 'Cart'][id % 3], screen: 'Onboarding', group: value('acme-gmbh'), object: 'rooms', identify: null, rejected: null }[type]
  const [library, version] = LIBRARIES[Math.max(0, NAMES.indexOf(from))]
  const iso = new Date(t).toISOString()
  const line = type === 'object'
    ? { collection: 'rooms', id: `room-${id}`, properties: { name: 'Harbour suite', beds: 2, rate: 189.5 }, receivedAt: iso }
    : type === 'rejected'
      ? { reason: 'missing_event', receivedAt: iso, item: { type: 'track', userId: value(user), properties: { amount: 12 } } }
      : {
          type, messageId: `ajs-next-${hex(id, 12)}`, ...(type === 'track' ? { event: name } : name && { name }),
          ...(id % 4 ? { userId: value(user) } : { anonymousId: value(user) }),
          ...(type === 'identify' ? { traits: hidden ? '[hidden]' : { email: 'ada@example.com', plan: 'team', seats: 12 } } : { properties: { sku: 'G-32', revenue: 59.9, order: 9007199254740993n, first: true, coupon: null, items: [{ id: 'sku-1', quantity: 2 }, { id: 'sku-7', quantity: 1 }] } }),
          context: { library: { name: library, version }, ip: value('203.0.113.77'), userAgent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36', page: { path: '/cart', url: 'https://shop.example.com/cart?utm_source=news', title: 'Your cart' }, locale: 'de-DE', timezone: 'Europe/Berlin' },
          originalTimestamp: iso, sentAt: iso, timestamp: iso, receivedAt: iso
        }
  return {
    id, at_ms: t - 120, source: from, stream: type === 'rejected' ? 'rejected' : type === 'object' ? 'objects/rooms' : 'calls', type: type === 'rejected' ? 'track' : type, name,
    user: type === 'object' || hidden ? null : user, bytes: text(line).length, reason: type === 'rejected' ? 'missing_event' : null, reason_text: type === 'rejected' ? 'the track call has no event' : null, library: `${library} ${version}`, line,
    added: ['receivedAt', 'context.ip'], changed: type === 'rejected' || type === 'object' ? [] : ['timestamp', 'sentAt']
  }
}

/** JSON in which big integers keep their digits. */
export const text = (value) => JSON.stringify(value, (_key, one) => typeof one === 'bigint' ? `@big${one}` : one).replace(/"@big(\d+)"/g, '$1')

let next = 1_000

/** The stream of live calls. */
/** A call in each place, or none with the value `nobody`. */
function find (scenario, query) {
  const t = now()
  const none = [...query.values()].includes('nobody')
  const of = (n, more) => ({ source: NAMES[n % 4], stream: 'calls', type: 'track', name: EVENTS[n], user: scenario === 'masked' ? null : 'user-42', message_id: `ajs-next-${1_700_000_000_000 + n}-${hex(n, 32)}`, received_at_ms: t - n * 91_000, reason: null, ...more })
  const place = (n) => key(NAMES[n % 4], 'calls', midnight(t), t - n * 91_000, 1_204_112 + n)
  const calls = [
    of(0, { state: 'waiting', position: 1_204_882, batch_lines: 412, due_ms: t + 41_000 }),
    of(3, { state: 'sealed', object: `acme-events-raw/${place(3)}`, line: 91, parked: true, waiting: 'put to acme-events-raw: 503 SlowDown: Please reduce your request rate; the put is retried' }),
    of(4, { state: 'delivered', bucket: 'acme-events-raw', key: place(4), line: 17, delivered_at_ms: t - 300_000 }),
    of(5, { stream: 'rejected', type: 'trak', name: null, reason: 'unknown_type', state: 'stored' })
  ]
  return { calls: none ? [] : calls, more: false, refused: refused('refused').reverse(), masked: scenario === 'masked', searched: { live_calls: 512, spool_bytes: 184_220_911, objects: 30, object_bytes: 48_112_004, left_out: scenario === 'denied' ? ['at least 12 objects of the last hour: the role arn:aws:iam::111122223333:role/forebay-writer may not read them: 403 AccessDenied'] : ['the oldest 3.1 GB in the spool: a search reads 256 MB'], denied: scenario === 'denied' ? { error: '403 AccessDenied', statement: '{\n  "Sid": "ReaderReads",\n  "Effect": "Allow",\n  "Action": "s3:GetObject",\n  "Resource": "arn:aws:s3:::acme-events-raw/segment-logs/*"\n}', whom: 'the role' } : null } }
}

/** Refused requests: three kinds in the scenario `refused`, with long texts, and one client with many keys in `busy`. */
function refused (scenario) {
  const t = now()
  const one = (id, cause, code, status, route, ago, more) => ({ id, type: 'refused', cause, code, status, method: 'POST', route, address: scenario === 'masked' ? '[hidden]' : '198.51.100.24', agent: 'analytics-node/2.1.3', source: null, key: null, requests: 3 + id * 41, first_ms: t - ago - 840_000, last_ms: t - ago, ...more })
  if (!['refused', 'busy', 'masked', 'young'].includes(scenario)) return []
  return [
    one(9, 'invalid_json', 'invalid_json', 400, '/v1/batch', 250_000, { source: 'billing-service-eu-central-1-production', key: '9f3b0c…', message: 'expected a string at byte 4012', remedy: 'send one JSON object in UTF-8; the message names the byte' }),
    one(4, 'not_found', 'not_found', 404, '/collect/v2/projects/Abcdef…/events/trak', 61_000, { agent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148', message: 'there is no route for this path: the nearest is /v1/track; the routes are POST /v1/batch, /v1/import, /v1/track, /v1/identify, /v1/page, /v1/screen, /v1/group, /v1/alias, /v1/set, and for browsers /v1/b, /v1/t, /v1/i, /v1/p, /v1/s, /v1/g, /v1/a, /v1/m; GET /v1/projects/WRITE_KEY/settings, /v1/pixel/track and so on, /sourceConfig, /health; and /sdk/…, /api/s/…, /pixel/v1/…, /beacon/v1/batch of other SDKs', remedy: 'give the SDK this collector\'s address alone, as `docs/sdks.md` does for each SDK; behind a proxy that adds a path set `collector.path_prefix`' }),
    one(7, 'bearer_token', 'invalid_write_key', 401, '/v1/track', 9_000, { agent: null, key: 'eyJhbG…', message: 'bearer tokens are not accepted: send a write key', remedy: 'send the write key with `Authorization: Basic`; or set `collector.accept_bearer`, and the write key in the body counts' }),
    one(2, 'unknown_write_key', 'invalid_write_key', 401, '/v1/batch', 4_000, { key: 'Abcdef…', message: 'the write key belongs to no source', remedy: 'compare the key in the SDK with the write keys of the sources: correct it, or add it to a `[[source]]`' })
  ]
}

export function live (response, scenario, query) {
  if (scenario === 'off') {
    response.writeHead(404, { 'content-type': 'application/json' })
    return response.end(JSON.stringify({ success: false, code: 'live_off', message: 'the live view is off' }))
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  const send = (event, data) => response.write(`event: ${event}\ndata: ${text(data)}\n\n`)
  const wanted = (one) => (!query.get('source') || one.source === query.get('source')) &&
    (!query.get('type') || (one.stream === 'rejected' ? 'rejected' : one.type) === query.get('type')) &&
    (!query.get('text') || text(one.line).toLowerCase().includes(query.get('text').toLowerCase()))
  send('hello', { view: scenario === 'masked' ? 'masked' : 'full', per_second: 50 })
  const groups = refused(scenario).filter((one) => (!query.get('source') || one.source === query.get('source')) &&
    (!query.get('type') || query.get('type') === 'refused') && (!query.get('text') || text(one).toLowerCase().includes(query.get('text').toLowerCase())))
  if (groups.length) send('refused', { groups, more: 0, recent: true })
  const many = (n) => Array.from({ length: n }, () => call(scenario, next++)).filter(wanted)
  if (!isEmpty(scenario)) {
    const recent = many(60)
    recent.forEach((one, n) => { one.at_ms -= (60 - n) * 217 })
    send('calls', { calls: recent, recent: true })
  }
  const each = scenario === 'busy' ? 12 : 1
  const timers = [
    setInterval(() => { if (!isEmpty(scenario)) send('calls', { calls: many(each) }) }, scenario === 'busy' ? 250 : 700),
    setInterval(() => send('count', isEmpty(scenario) ? { stored: 0, rejected: 0, shown: 0 } : scenario === 'busy' ? { stored: 12_382 + next % 90, rejected: 18, shown: 50 } : { stored: 1, rejected: 0, shown: 1 }), 1_000),
    setInterval(() => response.write(': \n\n'), 15_000)
  ]
  response.on('close', () => timers.forEach(clearInterval))
}
