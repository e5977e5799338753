// The admin API: the shapes of its answers, and the requests for them.
//
// Times are Unix milliseconds (`…_ms`), durations whole seconds (`…_seconds`), sizes bytes (`…_bytes`).
// What may be null may also be missing: compare with `== null`.

import { parseExact } from './exact'

export type Session = { role: 'admin' | 'read' | 'none'; needs_token: boolean; live_view: 'full' | 'masked' | 'off'; dev: boolean }

export type Totals = { received: number; stored: number; repeated: number; rejected: number; delivered: number }

export type LedgerCounts = {
  received: number; stored: number; rejected: number; repeated: number; suppressed: number
  delivered: number; pending: number; lost: number
}

export type Alarm = { kind: string; what: string; since_ms: number; subject?: string }

export type Applied = { algorithm: string | null; kms_key: string | null; bucket_key: boolean }

export type Library = { name: string; version: string; last_seen_ms: number }

export type OpenBatch = {
  stream: string; day_ms: number; calls: number; bytes: number
  object_bytes_estimate: number; first_received_at_ms: number; due_at_ms: number
}

export type SourceStatus = {
  id: string; bucket: string; encryption: string; role: string | null; totals: Totals; ledger: LedgerCounts
  streams?: { stream: string; ledger: LedgerCounts }[]
  pending_calls: number; oldest_undelivered_seconds: number | null
  last_object: { key: string; delivered_at_ms: number; bytes: number; calls: number; encryption: Applied | null } | null
  waiting: string | null; last_error: string | null; last_error_since_ms?: number | null; refused: { code: string; why: string } | null; requests_refused: number
  last_received_ms?: number | null; libraries?: Library[]; batches?: OpenBatch[]
}

export type Ledger = {
  balanced: boolean; differences: string[]
  totals: LedgerCounts; object_sets: LedgerCounts; dead_letters: LedgerCounts
}

/** Refused requests of one cause and client. */
export type RefusedGroup = {
  id: number; cause: string; code: string; status: number; method: string; route: string
  address: string | null; agent: string | null; source: string | null; key: string | null
  message: string; remedy: string; requests: number; first_ms: number; last_ms: number
}

/** Where a call is now. */
export type FoundPlace =
  | { state: 'waiting'; position: number; batch_lines: number; due_ms: number }
  | { state: 'sealed'; object: string; line: number; parked: boolean; waiting: string | null }
  | { state: 'delivered'; bucket: string; key: string; line: number; delivered_at_ms: number }
  | { state: 'stored' | 'repeat' }

export type FoundCall = FoundPlace & {
  source: string; stream: string; type: string; name: string | null; user: string | null; message_id: string | null
  received_at_ms: number; reason: string | null
}

export type Found = {
  calls: FoundCall[]; more: boolean; refused: RefusedGroup[]; masked: boolean
  searched: { live_calls: number; spool_bytes: number; objects: number; object_bytes: number; left_out: string[]; denied: Denied | null }
}

export type Status = {
  version: string; now_ms: number; uptime_seconds: number; node: string; spool_id: string
  ready: boolean; not_ready: string[]; degraded: string[]; alarms: Alarm[]
  spool: { used_bytes: number; max_bytes: number; segments: number; parked_bytes: number; seconds_left: number | null; incoming_bytes_per_second: number | null; is_full: boolean }
  open_batches: number; oldest_undelivered_seconds: number | null; totals: Totals; s3_proxy: string | null
  ledger: Ledger | null; sealed_objects: number; sources: SourceStatus[]
  imports?: BucketImport[]
  /** Destinations that are behind or have dead letters left. */
  destinations?: DestinationBehind[]
  /** The groups of refused requests with the latest requests. */
  refused_requests?: { groups: RefusedGroup[]; more: number }
  /** The log over Kafka that takes the place of the spool. */
  kafka?: Kafka | null
}

/** A log over Kafka. `sending` is that of a collector; `cache` and `owned`, the partitions that are here, are those of a writer. `elsewhere` has the others, as this process heard of them at `heard_ms`; earlier releases have neither. */
export type Kafka = {
  role: string; topic: string; group: string; log_id: string | null; partitions: number | null; retention_seconds: number | null
  sending: Sending | null; cache: KafkaCache | null; owned: Partition[]; elsewhere?: Elsewhere[]; heard_ms?: number | null
}

/** What a collector sends, since the process started. `unknown` requests may be stored, of `refused` ones nothing was sent. */
export type Sending = { waiting_bytes: number; silent: number[]; blocks: number; unknown: number; refused: number; producers_failed: number }

export type KafkaCache = { used_bytes: number; max_bytes: number; objects_an_hour: number | null }

/** A partition that is not here, as its owner told it, by its clock; `owner` is its host. */
export type Elsewhere = {
  partition: number; owner: string | null; told_ms: number | null; lag_seconds: number | null; time_left_seconds: number | null
  pinned_by: { source: string; since_ms: number } | null
}

/** A partition that is assigned to this process. An offset is Kafka's number of a record. */
export type Partition = {
  partition: number; standing: string; why: string | null; terms: number; ended: number; takeover_seconds: number | null
  read_offset: number; end_offset: number | null; lag_seconds: number; kept_from_offset: number; time_left_seconds: number | null; time_is_short: boolean
  pinned_by: { source: string; since_ms: number; waits_for: string } | null
  left_objects: number; cut_early: number; cache_used_bytes: number; cache_max_bytes: number; window_seconds: number | null
  second_copies: number; late: number; without_bucket: string[]
}

/** `waiting`: calls that wait for it. `dead_left`: dead letters that no replay has delivered yet. */
export type DestinationBehind = { name: string; waiting: number; dead_left: number }

export type History = {
  step_seconds: number; now_ms: number; sources: Record<string, number[]>
  received: number[]; delivered_bytes: number[]; spool_bytes: number[]
}

export type LiveCall = {
  id: number; at_ms: number; source: string; stream: string; type: string; name: string | null; user: string | null
  bytes: number; repeated?: boolean; reason: string | null; reason_text: string | null; library: string | null
  line: unknown; added: string[]; changed: string[]
}

export type Pending = {
  source: string; stream: string; day_ms: number; bucket: string; key: string; calls: number; bytes: number
  state: 'putting' | 'waiting' | 'parked' | 'conflict'; error: string | null; class: string | null
  since_ms: number | null; next_try_ms: number | null; tries: number
}

export type Delivered = {
  delivered_at_ms: number; source: string; stream: string; day_ms: number; bucket: string; key: string
  calls: number; bytes: number; encryption: Applied | null
  first_received_at_ms: number; seconds_to_deliver: number; put_ms: number; reason?: string | null
}

/** Why a list of deliveries is shorter than what was delivered. */
export type Missing = { dropped: number; sums_dropped: number; missed: number; problem: string | null }

export type Deliveries = {
  pending: Pending[]; pending_total: number; delivered: Delivered[]; listed_since_ms: number | null; missing?: Missing
}

export type Flushed = { sealed: number; delivered: number; pending: number }

export type ArchiveDay = {
  day_ms: number; date: string; source: string; stream: string; objects: number; calls: number; bytes: number
  last_delivered_at_ms: number; state: string; why: string | null
}

export type Place = { bucket: string; endpoint_url: string | null; region: string | null }

export type Archive = {
  days: ArchiveDay[]; places: Record<string, Place>; kept_days: number; listed_since_ms: number | null
  missing?: Missing
}

export type Denied = { error: string; statement: string }

export type ArchiveObject = {
  key: string; bytes: number; calls: number | null; delivered_at_ms: number | null; last_modified_ms: number | null
}

export type ArchiveObjects = { objects: ArchiveObject[]; next: string | null; from: 'list' | 'bucket'; denied: Denied | null }

export type Peek = { key: string; lines: unknown[]; more: boolean; denied: Denied | null }

export type Import = {
  id: string; what: string; source: string; state: string; begun_ms: number; ended_ms: number | null
  rows_read: number; stored: number; repeated: number; refused: number; rejected: number; sent_again?: number; settled?: number; accepted?: number; left_out?: number; rejected_again?: number
  errors: { code: string; count: number; example: string | null; not_stored?: boolean }[]
  rejects_file?: string | null; retry?: string | null; attempts?: number; why: string | null; next?: string | null
}

export type NotDone = { name: string; became: string; error?: string | null }

/** Files that belong to other instances, as a pass found them. */
export type Claims = {
  claimed: number; waiting: { instance: string; files: number; since_ms: number | null; first: string[] }[]
  released: number; unknown: number; unknown_first?: string | null; problem?: string | null
}

/** What was done with imported files. `done` counts by what was done in the pass, `waiting` by why nothing is done yet. */
export type After = {
  action: string; done: Record<string, number>; waiting: Record<string, number>; rejected_rows: number
  first: { name: string; why: string; error?: string | null }[]; remedies: string[]
}

/** How many messages a queue has, as it counted them at `read_ms`: about. */
export type QueueDepth = { waiting: number; in_flight: number; read_ms: number }

/** What the queue of an import brought since the node started. `messages` counts by what became of them. `not_counted` says why `depth` is not read now. */
export type Messages = {
  queue: string; received: number; last_ms: number | null; in_hand: number; oldest_ms: number | null
  depth?: QueueDepth | null; not_counted?: string | null
  messages: Record<string, number>; failing: string | null; failing_since_ms: number | null; not_done: NotDone[]
}

/** A pass over the bucket of an import. `whole` of an import is the last one that listed all keys, if `last` did not. `skipped` and `files` count by reason and by what became of them. */
export type Pass = {
  began_ms: number; ended_ms: number; listed: number; list_requests: number; known: number
  skipped: Record<string, number>; files: Record<string, number>; not_begun: number
  rows: number; stored: number; repeats: number; rejected: number; skipped_rows: number; stopped: boolean
  not_done: NotDone[]; claims?: Claims | null; after?: After | null; failed: { kind: string; what: string } | null
}

export type BucketImport = {
  name: string; source: string; place: string; enabled: boolean; paused?: boolean; pass_since_ms: number | null; pass_rows: number
  last: Pass | null; whole?: Pass | null; next_ms: number | null; failing: string | null; failing_since_ms: number | null; warnings?: string[]
  list_requests_hour?: number; unused_columns?: number; unused_first?: string[]
  notifications?: Messages | null
}

export type Imports = { imports: Import[]; total: number; loading?: boolean; problem?: string | null }

export type Failure = { class: string; shown: string; what: string; remedy: string; since_ms: number | null }

export type ClassCount = { class: string; shown: string; count: number }

export type Destination = {
  name: string; kind: string; config: string | null; removed: boolean; succeeded: number; failed: ClassCount[]; dead: ClassCount[]
  dead_stored: number; dead_sent_again: number; dead_unknown?: string | null
  functions: {
    function: string; types: string[]; waiting: number; unread: number; queued_bytes: number; oldest_ms: number | null; in_flight: number
    open_since_ms: number | null; failing: Failure | null; lost: number
  }[]
}

export type Destinations = { destinations: Destination[]; held_bytes: number }

export type Attempt = {
  at_ms: number; function: string; source: string; type: string; message_id: string; attempt: number; millis: number
  failed: Failure | null; request_id: string | null; version: string | null; log_tail: string | null
}

export type Attempts = { attempts: Attempt[]; masked: boolean }

export type Latency = {
  count: number; p50_ms: number | null; p99_ms: number | null; max_ms: number | null; recent: number[]
}

export type Setting = { name: string; value: string; from: string }

export type NodeInfo = {
  version: string; commit: string | null; built: string | null; os: string
  started_ms: number; now_ms: number; uptime_seconds: number
  clock: { wall_ms: number; steps: number }
  sync: Latency; put: Latency; put_failures: { kind: string; count: number }[]
  answers: { status: number; count: number }[]; connections: number
  memory_bytes: number | null; open_files: { used: number | null; max: number | null }
  spool_dir: string | null; config: Setting[]; sdk_address: string; dev_key: boolean
}

export type Sdks = { address: string; sdks: { name: string; code: string; language: string; note: string | null }[] }

/** An answer other than 2xx. `status` is 0 if there was no answer. */
export class Refusal extends Error {
  constructor (readonly status: number, readonly code: string, message: string) {
    super(message)
  }
}

/** How long an answer may take before it counts as failed. A flush may take 30 s and gets its own limit. */
const ANSWER_MS = 15_000

export async function refusal (response: Response): Promise<Refusal> {
  const text = await response.text()
  try {
    const { code, message } = JSON.parse(text) as { code?: string; message?: string }
    return new Refusal(response.status, code ?? '', message ?? text)
  } catch {
    return new Refusal(response.status, '', text.slice(0, 500) || `answer ${response.status}`)
  }
}

async function request (method: string, path: string, body: unknown, signal: AbortSignal): Promise<Response> {
  let response
  try {
    response = await fetch(path, {
      method,
      signal,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) })
    })
  } catch (error) {
    const late = signal.aborted && (signal.reason as Error)?.name === 'TimeoutError'
    throw new Refusal(0, late ? 'timeout' : 'no_answer', late ? 'the node did not answer in time' : String((error as Error).message))
  }
  if (!response.ok) throw await refusal(response)
  return response
}

export async function get<T> (path: string, signal?: AbortSignal): Promise<T> {
  const limit = AbortSignal.timeout(ANSWER_MS)
  const response = await request('GET', path, undefined, signal ? AbortSignal.any([signal, limit]) : limit)
  return await response.json() as T
}

/** Like `get`, but keeps every digit of numbers: for answers with stored lines. */
export async function getExact<T> (path: string): Promise<T> {
  const response = await request('GET', path, undefined, AbortSignal.timeout(ANSWER_MS))
  return parseExact(await response.text()) as T
}

export async function send<T> (method: 'POST' | 'DELETE', path: string, body?: unknown, limitMs = ANSWER_MS): Promise<T> {
  const response = await request(method, path, body, AbortSignal.timeout(limitMs))
  const text = await response.text()
  return (text ? JSON.parse(text) : {}) as T
}

/** A query string of the values that are set. */
export function query (values: Record<string, string | number | null | undefined>): string {
  const set = Object.entries(values).filter(([, value]) => value !== '' && value != null)
  return set.length ? '?' + new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString() : ''
}
