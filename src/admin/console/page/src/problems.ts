// What is wrong, from the status: the one sentence of the header, and the problems below it. Pure.

import type { SourceStatus, Status } from './api'
import { bytes, clock, count, date, plural, seconds } from './format'
import { isHidden, lagRecords } from './kafka'
import { lately } from './refused-list'
import { href, REFUSED_REQUESTS } from './route'

export type Level = 'well' | 'notice' | 'problem'

export type Problem = {
  key: string
  level: 'notice' | 'problem'
  title: string
  /** What happened and what fixes it. */
  what: string
  since_ms: number | null
  /** The sources, buckets or folders that the problem concerns. */
  whom: string[]
  /** The view where a person acts. */
  at: { name: string; href: string }
}

const TITLES: Record<string, string> = {
  refused: 'A bucket takes no objects',
  bucket_import: 'An import cannot read its bucket',
  unreachable: 'A bucket cannot be reached',
  refusing: 'Calls are refused',
  encryption: 'Objects are not encrypted as requested',
  conflict: 'Another object has the same key',
  damage: 'The spool is damaged',
  clock: 'The clock is wrong',
  destination: 'A function takes no calls',
  imports: 'Imports wait for their journal',
  closing: 'Days are not closed',
  hook: 'A hook fails',
  ledger: 'The ledger does not balance',
  configuration: 'A changed configuration is not in force',
  task: 'A task has failed'
}

/** Ends of the subjects of alarms about an import, which begin with its name, and what the titles say of it. */
const OF_IMPORT: [end: string, title: string][] = [
  [' (files for a person)', 'has files that need a person'],
  [' notified files for a person', 'has files that need a person'],
  [' notified files', 'cannot read files that its queue names'],
  [' (rejected rows)', 'has rejected rows that need attention'],
  [' queue', 'cannot receive from its queue']
]

/** The title of an alarm about a part of an import, which names the import. */
function titleOfImport (kind: string, subject: string | undefined): string | undefined {
  const found = kind === 'bucket_import' ? OF_IMPORT.find(([end]) => subject?.endsWith(end)) : undefined
  return found && `Import ${subject!.slice(0, -found[0].length)} ${found[1]}`
}

const place = (name: string, ...path: string[]): Problem['at'] => ({ name, href: href(...path) })
const HEALTH = place('Health', 'health')
const DELIVERIES = place('Deliveries', 'deliveries')
const ARCHIVE = place('Archive', 'archive')
const IMPORTS = place('Imports', 'imports')
const PARTITIONS = place('Partitions', 'partitions')

/** What alarms are called if a log over Kafka takes the place of the spool. */
const OF_KAFKA: Record<string, string> = { damage: 'A partition is damaged' }
/** The beginning of the subject of an alarm about a partition whose log is deleted before its calls are delivered. */
const RETENTION = 'retention of '

function titleOfKafka (kind: string, subject: string | undefined, status: Status): string | undefined {
  if (!status.kafka) return undefined
  return kind === 'refusing' && subject?.startsWith(RETENTION) ? 'Kafka will soon delete calls that are not delivered' : OF_KAFKA[kind]
}

/** Where a person acts on an alarm; all others in Health. */
const PLACES: Record<string, Problem['at']> = {
  refused: DELIVERIES, unreachable: DELIVERIES, conflict: DELIVERIES, encryption: DELIVERIES, closing: ARCHIVE, hook: ARCHIVE,
  imports: IMPORTS, bucket_import: IMPORTS
}

function placeOf (kind: string, subject: string | undefined, status: Status): Problem['at'] {
  if (kind === 'destination') {
    // The subject of an alarm about a function is `crm, function on-track`.
    const name = subject?.split(', function ')[0]
    return name ? place(`Destinations: ${name}`, 'destinations', name) : place('Destinations', 'destinations')
  }
  const others = status.kafka ? PARTITIONS : HEALTH
  if (kind === 'refusing') return subject && status.sources.some(({ id }) => id === subject) ? place(`Sources: ${subject}`, 'sources', subject) : others
  const known = PLACES[kind] ?? (kind === 'damage' ? others : HEALTH)
  // A process with a log over Kafka may lack the view.
  return isHidden(known.href.slice(2).split('/')[0]!, status.kafka) ? PARTITIONS : known
}

/** Beginnings of texts that say no more than their title, and whom it concerns. */
const AS_TITLED = [/^no put to \S+ has succeeded since [^:]+: /, /^calls of [^;:]+? are answered (?=\d)/]
/** From so many words on, what a text and its title begin with is said once. */
const WORDS_REPEATED = 3

/** The text of an alarm without what its title has said. */
export function withoutTitle (title: string, what: string): string {
  const known = AS_TITLED.find((begin) => begin.test(what))
  if (known) return what.replace(known, '')
  const titled = title.toLowerCase().split(' ')
  const words = what.split(' ')
  const bare = (word: string | undefined) => word?.toLowerCase().replace(/[,;:.]$/, '')
  let same = 0
  while (same < titled.length && bare(words[same]) === bare(titled[same]) && (same === 0 || !/[,;:.]$/.test(words[same - 1]!))) same += 1
  return same >= WORDS_REPEATED && same < words.length ? words.slice(same).join(' ') : what
}

/** Alarms whose subject is a bucket. */
const BUCKET_ALARMS = ['refused', 'unreachable']
/** Alarms about puts that fail. */
const PUT_ALARMS = ['refused', 'unreachable', 'conflict']

/** Names of sources that a problem lists; the rest are counted. */
const WHOM_MAX = 8

function names (ids: string[]): string[] {
  return ids.length <= WHOM_MAX ? ids : [...ids.slice(0, WHOM_MAX), `${count(ids.length - WHOM_MAX)} more`]
}

/** Since when a reason holds, if an alarm says the same. */
function sinceOf (status: Status, why: string): number | null {
  const full = status.spool.is_full ? status.alarms.find(({ kind, subject }) => kind === 'refusing' && subject === 'every source') : undefined
  return (status.alarms.find(({ what }) => what.endsWith(why)) ?? full)?.since_ms ?? null
}

export function problems (status: Status): Problem[] {
  const refused = status.sources.filter((source) => source.refused)
  const found: Problem[] = status.not_ready.map((why) => ({
    key: `not ready ${why}`, level: 'problem', title: 'Not ready: it cannot take calls', what: why, since_ms: sinceOf(status, why), whom: [], at: HEALTH
  }))
  for (const { kind, what: said, since_ms, subject } of status.alarms) {
    // The status names the alarm's subject at the beginning; here the subject stands apart.
    const whole = subject && said.startsWith(`${subject}: `) ? said.slice(subject.length + 2) : said
    // The alarm about refused calls also names the sources that are refused now.
    // An alarm about a bucket concerns the sources whose objects wait for it.
    const waiting = BUCKET_ALARMS.includes(kind) ? status.sources.filter(({ bucket, last_error }) => last_error && bucket === subject) : []
    const sources = kind === 'refusing' ? refused : waiting
    const ofImport = titleOfImport(kind, subject)
    const ofKafka = titleOfKafka(kind, subject, status)
    const whom = sources.length ? names(sources.map(({ id }) => id)) : subject && !ofImport ? [ofKafka && subject.startsWith(RETENTION) ? subject.slice(RETENTION.length) : subject] : []
    const title = ofImport ?? ofKafka ?? (waiting.length ? `${TITLES[kind]}: ${subject}` : TITLES[kind] ?? `Something needs attention: ${kind.replaceAll('_', ' ')}`)
    const what = withoutTitle(title, whole)
    found.push({ key: `${kind} ${subject ?? ''} ${since_ms} ${whole.slice(0, 80)}`, level: 'problem', title, what, since_ms, whom, at: placeOf(kind, subject, status) })
  }
  if (!status.alarms.some(({ kind }) => kind === 'refusing')) {
    for (const [why, ids] of groupByWhy(refused)) {
      found.push({ key: `refused ${why}`, level: 'problem', title: TITLES.refusing!, what: why, since_ms: null, whom: names(ids), at: ids.length === 1 ? placeOf('refusing', ids[0], status) : place('Sources', 'sources') })
    }
  }
  // An alarm comes after a minute or three refusals; until then, a put that fails is worth a notice.
  const alarmed = status.alarms.filter(({ kind }) => PUT_ALARMS.includes(kind)).map(({ subject }) => subject)
  const failing = status.sources.filter(({ id, bucket, last_error }) => last_error && !alarmed.includes(bucket) && !alarmed.includes(id))
  if (failing.length) {
    const first = failing.reduce((one, other) => (other.last_error_since_ms ?? 0) < (one.last_error_since_ms ?? 0) ? other : one)
    // The view Deliveries has the key, so it is left out here.
    const why = first.last_error!.replace(/^put \S+ to (\S+): /, 'put to $1: ')
    const what = `${why}; nothing is lost: the puts are tried again. \`forebay check\` prints the exact setting or statement`
    found.push({ key: 'puts fail', level: 'notice', title: 'Puts fail and are tried again', what, since_ms: first.last_error_since_ms ?? null, whom: names(failing.map(({ id }) => id)), at: placeOf('unreachable', undefined, status) })
  }
  for (const why of status.degraded) {
    if (status.alarms.some(({ what }) => what.endsWith(why))) continue
    found.push({ key: `degraded ${why}`, level: 'notice', title: 'Needs attention', what: why, since_ms: null, whom: [], at: HEALTH })
  }
  return found
}

function groupByWhy (refused: SourceStatus[]): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const { id, refused: why } of refused) {
    if (why) groups.set(why.why, [...(groups.get(why.why) ?? []), id])
  }
  return groups
}

export function level (found: Problem[]): Level {
  return found.some((problem) => problem.level === 'problem') ? 'problem' : found.length ? 'notice' : 'well'
}

/** What is worth a look but no alarm. The header alone has it, with a link. */
export type Notice = { key: string; text: string; href: string }

/** Dead letters that are left, and requests that were refused lately. `liveOff`: nobody may see the latter. */
export function notices (status: Status, liveOff = false): Notice[] {
  const left = (status.destinations ?? []).filter(({ dead_left: n }) => n > 0)
  const letters = plural(left.reduce((sum, { dead_left: n }) => sum + n, 0), 'dead letter')
  const [first] = left
  const found: Notice[] = []
  if (first) {
    found.push(left.length === 1
      ? { key: 'dead letters', text: `destination ${first.name} has ${letters} left`, href: href('destinations', first.name) }
      : { key: 'dead letters', text: `${left.length} destinations have ${letters} left`, href: href('destinations') })
  }
  const refused = refusedWords(status)
  if (refused) found.push({ key: 'refused', text: refused, href: liveOff ? href('health') : REFUSED_REQUESTS })
  return found
}

/** The refused requests of the last ten minutes. A group counts since its first request, which may be older. */
function refusedWords ({ refused_requests: list, now_ms: now }: Status): string | null {
  const groups = lately(list?.groups ?? [], now)
  if (!groups.length) return null
  const requests = groups.reduce((sum, group) => sum + group.requests, 0)
  const since = Math.min(...groups.map(({ first_ms: first }) => first))
  // Further groups are older than these, so they matter only if each of these is of late.
  const atLeast = (list?.more ?? 0) > 0 && groups.length === list?.groups.length ? 'at least ' : ''
  const were = `${atLeast}${plural(requests, 'request was', 'requests were')} refused`
  if (lately(groups.map((group) => ({ ...group, last_ms: group.first_ms })), now).length === groups.length) return `${were} in the last 10 minutes`
  const day = date(since) === date(now) ? '' : date(since) + ' '
  return `${were} since ${day}${clock(since).slice(0, 5)}`
}

/** The sentence of the header: a verdict and what waits. */
export function headline (status: Status, found: Problem[], told: Notice[] = notices(status)): { verdict: string; detail: string } {
  const serious = found.filter((problem) => problem.level === 'problem').length
  const others = found.length - serious + told.length
  const counted = [serious > 0 && plural(serious, 'problem'), others > 0 && plural(others, 'notice')].filter(Boolean).join(', ')
  return { verdict: !status.ready ? 'Not ready' : counted || 'All is well', detail: waits(status) }
}

function waits (status: Status): string {
  const { sources, destinations = [], oldest_undelivered_seconds: oldest, kafka } = status
  if (kafka?.role === 'collector') return kafka.sending?.waiting_bytes ? `${bytes(kafka.sending.waiting_bytes)} on the way to the brokers` : 'nothing waits for the brokers'
  const unread = (kafka?.owned ?? []).reduce((sum, one) => sum + (lagRecords(one) ?? 0), 0)
  const more = unread > 0 ? `, ${plural(unread, 'record')} to be read` : ''
  const pending = sources.reduce((sum, source) => sum + source.pending_calls, 0)
  if (pending > 0 || oldest != null) return `${plural(pending, 'call')} waiting` + (oldest == null ? '' : `, the oldest for ${seconds(oldest)}`) + more
  if (kafka) return `everything that is read is delivered${more}`
  if (!destinations.length) return 'everything is delivered'
  const behind = destinations.filter(({ waiting }) => waiting > 0)
  const calls = behind.reduce((sum, { waiting }) => sum + waiting, 0)
  const whom = behind.length === 1 ? `destination ${behind[0]!.name}` : plural(behind.length, 'destination')
  return 'everything is delivered to the bucket' + (calls > 0 ? `, ${plural(calls, 'call waits', 'calls wait')} for ${whom}` : '')
}

export type SourceState = { level: 'well' | 'quiet' | 'notice' | 'problem'; word: string; why: string | null }

/** Calls within this time make a source active. */
const ACTIVE_MS = 60_000

/** What a source is doing, in a word. */
export function sourceState (source: SourceStatus, now: number): SourceState {
  if (source.refused) return { level: 'problem', word: 'refused', why: source.refused.why }
  if (source.last_error) return { level: 'problem', word: 'put fails', why: source.last_error }
  if (source.waiting) return { level: 'notice', word: 'waiting', why: source.waiting }
  const last = source.last_received_ms
  if (last != null && now - last < ACTIVE_MS) return { level: 'well', word: 'receiving', why: null }
  if (last == null && source.totals.received === 0 && source.totals.delivered === 0) return { level: 'quiet', word: 'no calls yet', why: null }
  return { level: 'quiet', word: 'quiet', why: null }
}
