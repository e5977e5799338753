// Partitions: how far each is read and delivered, and for how long Kafka keeps it; of a collector, what is on its way.

import { useMemo } from 'preact/hooks'
import type { Elsewhere, Kafka, Partition, Sending } from '../api'
import { bytes, count, exactBytes, NONE, percent, plural, seconds } from '../format'
import { lagRecords, lagWords, neededFor, placeOfAge, SILENT_AFTER_MS, speakingOf, standingOf, termsWords, ticksOf, troublesOf } from '../kafka'
import { useNode, useNow } from '../node'
import { Icon, State } from '../parts/icon'
import { Side } from '../parts/side'
import { Ago, Bar, Card, Empty, Facts, PageHead, Prose, Stat } from '../parts/small'
import { type Column, RowsNote, ROWS_MAX, Table } from '../parts/table'
import { href } from '../route'

/** The time line of a log that is kept for ever, or for a time that is not known. */
const DAY_S = 86_400
/** Partitions that are drawn of a collector's log. */
const CELLS_MAX = 2_000

export function Partitions ({ rest }: { rest: string[] }) {
  const { status } = useNode()
  const kafka = status?.kafka
  if (!kafka) return <><PageHead title="Partitions" /><Empty title="This node keeps its calls in a spool" /></>
  return (
    <>
      <PageHead title="Partitions" lead={<>Of the log in topic <b>{kafka.topic}</b>{kafka.role !== 'collector' && <>, group <b>{kafka.group}</b></>}{kafka.retention_seconds != null && `, kept for ${whole(kafka.retention_seconds)}`}</>} />
      {kafka.sending && <SendingCard kafka={kafka} sending={kafka.sending} />}
      {kafka.role !== 'collector' && <Owned kafka={kafka} chosen={rest[0]} />}
      {kafka.elsewhere && kafka.elsewhere.length > 0 && <Others elsewhere={kafka.elsewhere} kafka={kafka} />}
    </>
  )
}

/** `7 d`, without hours that are none. */
const whole = (s: number) => seconds(s).replace(/ 0?0 (h|min|s)$/, '')

function SendingCard ({ kafka, sending }: { kafka: Kafka; sending: Sending }) {
  const { silent } = sending
  return (
    <Card title="To the brokers">
      <dl class="stats">
        <Stat name="On the way" value={bytes(sending.waiting_bytes)} title={exactBytes(sending.waiting_bytes)} note="of calls that no broker has acknowledged yet" />
        <Stat name="Blocks acknowledged" value={count(sending.blocks)} note="since the start" />
        <Stat name="503, may be stored" value={count(sending.unknown)} note="requests without an answer of the brokers in time; clients send them again" />
        <Stat name="503, not sent" value={count(sending.refused)} note="requests for which there was no room, or whose bucket refuses" />
        <Stat name="Clients replaced" value={count(sending.producers_failed)} note="after errors of the brokers" />
      </dl>
      <Cells partitions={kafka.partitions} silent={silent} />
      {silent.length > 0 && (
        <p class="source-why tone-problem">
          <Icon name="problem" />
          <span>No broker acknowledges blocks of {plural(silent.length, 'partition')}: {few(silent)}. Their calls are answered 503. Check that brokers run, and that <code>min.insync.replicas</code> of them have each partition.</span>
        </p>
      )}
    </Card>
  )
}

const NAMED_MAX = 20
const few = (all: number[]) => all.slice(0, NAMED_MAX).join(', ') + (all.length > NAMED_MAX ? ` and ${count(all.length - NAMED_MAX)} more` : '')

/** A cell for each partition; those that are silent have a number of another colour and a mark. */
function Cells ({ partitions, silent }: { partitions: number | null; silent: number[] }) {
  const cells = useMemo(() => Array.from({ length: Math.min(CELLS_MAX, partitions ?? 0) }, (_, number) => number), [partitions])
  if (partitions == null) return <p class="note">No broker has said yet how many partitions the log has.</p>
  const words = `${plural(partitions, 'partition')}, ${silent.length ? `${count(silent.length)} of them silent` : 'none of them silent'}`
  return (
    <figure class="cells">
      <figcaption>{words}</figcaption>
      <ul aria-hidden="true">
        {cells.map((number) => <li key={number} class={silent.includes(number) ? 'silent' : undefined}>{silent.includes(number) && <Icon name="problem" size={12} />}{number}</li>)}
      </ul>
    </figure>
  )
}

function Owned ({ kafka, chosen }: { kafka: Kafka; chosen: string | undefined }) {
  const { owned } = kafka
  const one = owned.find(({ partition }) => String(partition) === chosen)
  return (
    <>
      <Summary kafka={kafka} />
      {owned.length === 0
        ? <Empty title="No partition is here"><p>The group gives each partition to one of its writers. If there are more writers than partitions, some have none; they take over when another one ends.</p></Empty>
        : <><Overview kafka={kafka} /><Details kafka={kafka} one={one} /></>}
      {chosen && !one && <p class="note">Partition {chosen} is not here now: another writer of the group may have it.</p>}
    </>
  )
}

/** The partitions of other processes. A collector has no others. */
function Others ({ elsewhere, kafka: { role, heard_ms: last } }: { elsewhere: Elsewhere[]; kafka: Kafka }) {
  const now = useNow()
  const heard = last ?? now
  const silent = elsewhere.filter((one) => speakingOf(one, heard).word === 'silent')
  const columns: Column<Elsewhere>[] = [
    { head: 'Partition', width: 'auto', narrow: 'title', cell: ({ partition }) => `Partition ${partition}` },
    { head: 'State', width: '104px', cell: (row) => <State {...speakingOf(row, heard)} title={row.told_ms == null ? null : `told ${seconds((now - row.told_ms) / 1_000)} ago`} /> },
    { head: 'Owner', width: '35%', cell: ({ owner }) => owner == null ? NONE : <span class="wrap">{owner}</span> },
    { head: 'Behind by', width: '112px', number: true, cell: (row) => seconds(row.lag_seconds) },
    { head: 'Time left', width: '104px', number: true, cell: (row) => seconds(row.time_left_seconds) },
    { head: 'Pinned by', width: '25%', roomy: true, cell: ({ pinned_by: pin }) => pin ? <span class="wrap">{pin.source} <span class="quiet">for {seconds((now - pin.since_ms) / 1_000)}</span></span> : NONE }
  ]
  return (
    <Card title={role === 'collector' ? 'What writers say' : 'On other writers'}>
      {now - heard >= SILENT_AFTER_MS && <p class="source-why tone-notice"><Icon name="notice" /><span>Not heard of for {seconds((now - heard) / 1_000)}: the group does not answer.</span></p>}
      {silent.length > 0 && (
        <p class="source-why tone-problem">
          <Icon name="problem" />
          <span>{plural(silent.length, 'partition')} whose owner has said nothing for two minutes or more: {few(silent.map(({ partition }) => partition))}. Look at all writers: one may have stopped it. If none has it, start one.</span>
        </p>
      )}
      <Table caption="Partitions of other processes" rows={elsewhere} columns={columns} rowKey={({ partition }) => String(partition)} />
      <RowsNote total={elsewhere.length} what="partitions" />
    </Card>
  )
}

function Summary ({ kafka: { owned, partitions, cache } }: { kafka: Kafka }) {
  const sum = (of: (one: Partition) => number) => owned.reduce((all, one) => all + of(one), 0)
  const records = sum((one) => lagRecords(one) ?? 0)
  const oldest = Math.max(0, ...owned.map((one) => one.lag_seconds))
  const left = owned.filter((one) => one.time_left_seconds != null).sort((a, b) => a.time_left_seconds! - b.time_left_seconds!)[0]
  const stopped = owned.filter(({ standing }) => standing === 'stopped').length
  const objects = sum((one) => one.left_objects)
  const hourly = cache?.objects_an_hour
  return (
    <dl class="stats">
      <Stat name="Here" value={`${count(owned.length)} of ${count(partitions)}`} note={stopped ? `${count(stopped)} of them stopped` : 'the group shares partitions among its writers'} />
      <Stat name="To be read" value={count(records)} note={records || oldest ? `records, the oldest written ${seconds(oldest)} ago` : 'read to the ends'} />
      <Stat name="Time left" value={left ? seconds(left.time_left_seconds) : NONE} note={left ? `then Kafka deletes calls of partition ${left.partition}` : 'nothing waits, or Kafka deletes nothing'}>
        {left?.time_is_short && <State icon="problem" tone="problem" word="short" />}
      </Stat>
      <Stat name="Cache" value={bytes(cache?.used_bytes)} title={exactBytes(cache?.used_bytes)} note={`${percent(cache?.used_bytes ?? 0, cache?.max_bytes ?? 0)} of ${bytes(cache?.max_bytes)}${hourly == null ? '' : `; small sources get ${hourly === 0 ? 'less than an object' : plural(hourly, 'object')} an hour`}`} />
      <Stat name="Left in the log" value={count(objects)} note={objects ? 'objects whose buckets refuse them; built again once they take them' : 'none waits there for its bucket'} />
    </dl>
  )
}

/** A time line for each partition, from now back to where Kafka deletes. */
function Overview ({ kafka }: { kafka: Kafka }) {
  const now = useNow()
  const retention = kafka.retention_seconds
  const needed = kafka.owned.map((one) => neededFor(one, retention, now) ?? 0)
  const span = retention ?? Math.max(DAY_S, ...needed)
  return (
    <Card title="What waits, and for how long" actions={
      <ul class="legend" aria-hidden="true">
        <li><i class="legend-unread" />not read yet</li>
        <li><i class="legend-needed" />read, not delivered</li>
        {retention != null && <li><i class="legend-late" />sources with older calls are refused; after {whole(retention)} Kafka deletes</li>}
      </ul>
    }>
      <div class="lines">
        <div class="line-head" aria-hidden="true">
          <span>Partition</span>
          <span class="ticks">{ticksOf(span).map(({ at, label }) => <span key={label} style={{ left: `${at * 100}%` }} class={at === 0 ? 'tick-first' : at === 1 ? 'tick-last' : undefined}>{label}</span>)}</span>
          <span>Cache</span>
          <span>Pinned by</span>
        </div>
        <ul>{kafka.owned.slice(0, ROWS_MAX).map((one, index) => <Line key={one.partition} one={one} kafka={kafka} span={span} needed={needed[index]!} now={now} />)}</ul>
      </div>
      <RowsNote total={kafka.owned.length} what="partitions" />
    </Card>
  )
}

function Line ({ one, kafka: { retention_seconds: retention }, span, needed, now }: {
  one: Partition; kafka: Kafka; span: number; needed: number; now: number
}) {
  const [from, unread] = [placeOfAge(needed, span), placeOfAge(one.lag_seconds, span)]
  const words = [
    `Partition ${one.partition}`, one.lag_seconds > 0 && `not read for ${seconds(one.lag_seconds)}`,
    needed > 0 ? `needed for ${seconds(needed)}` : 'nothing waits', one.time_left_seconds != null && `deleted in ${seconds(one.time_left_seconds)}`
  ].filter(Boolean).join(', ')
  const at = (part: number) => `${(part * 100).toFixed(2)}%`
  return (
    <li class="line">
      <span class="line-name"><a href={href('partitions', one.partition)}>{one.partition}</a><State {...standingOf(one)} title={one.why} /></span>
      <span class="line-drawn">
        <svg width="100%" height="16" role="img" aria-label={words}>
          <title>{words}</title>
          <rect class="line-track" x="0" y="4" width="100%" height="8" rx="4" />
          {retention != null && <rect class="line-late" x="0" y="4" width={at(placeOfAge(retention / 2, span))} height="8" rx="4" />}
          {needed > 0 && <rect class={one.time_is_short ? 'line-needed line-short' : 'line-needed'} x={at(Math.min(from, 0.994))} y="4" width={at(Math.max(0.006, unread - from))} height="8" rx="3" />}
          {one.lag_seconds > 0 && <rect class="line-unread" x={at(unread)} y="4" width={at(1 - unread)} height="8" rx="3" />}
        </svg>
      </span>
      <span class="line-cache" title={`${bytes(one.cache_used_bytes)} of ${bytes(one.cache_max_bytes)}`}>
        <svg width="100%" height="8" aria-hidden="true">
          <rect class="line-track" x="0" y="0" width="100%" height="8" rx="4" />
          <rect class="line-needed" x="0" y="0" width={at(Math.min(1, one.cache_max_bytes ? one.cache_used_bytes / one.cache_max_bytes : 0))} height="8" rx="4" />
        </svg>
        <span>{percent(one.cache_used_bytes, one.cache_max_bytes)}</span>
      </span>
      <span class="line-pin">{one.pinned_by
        ? <><a href={href('sources', one.pinned_by.source)}>{one.pinned_by.source}</a> <span class="quiet">for {seconds((now - one.pinned_by.since_ms) / 1_000)}: {one.pinned_by.waits_for}</span></>
        : <span class="quiet">{one.standing === 'delivers' ? 'nothing' : one.why ?? NONE}</span>}</span>
    </li>
  )
}

function Details ({ kafka, one }: { kafka: Kafka; one: Partition | undefined }) {
  const { owned } = kafka
  const columns: Column<Partition>[] = [
    { head: 'Partition', width: 'auto', narrow: 'title', cell: ({ partition }) => <a class="row-link" href={href('partitions', partition)}>Partition {partition}</a> },
    { head: 'State', width: '120px', cell: (row) => <State {...standingOf(row)} title={row.why} /> },
    { head: 'To be read', width: '104px', number: true, cell: (row) => count(lagRecords(row)) },
    { head: 'Behind by', width: '112px', number: true, cell: (row) => seconds(row.lag_seconds) },
    { head: 'Time left', width: '104px', number: true, cell: (row) => seconds(row.time_left_seconds) },
    { head: 'In the cache', width: '112px', number: true, roomy: true, cell: (row) => bytes(row.cache_used_bytes) },
    { head: 'Left objects', width: '104px', number: true, roomy: true, cell: (row) => count(row.left_objects) },
    { head: 'Terms', width: '72px', number: true, roomy: true, cell: (row) => count(row.terms) }
  ]
  return (
    <Card title="Each partition">
      <div class={one ? 'with-side' : undefined}>
        <Table caption="Partitions" rows={owned} columns={columns} rowKey={({ partition }) => String(partition)} selected={one ? String(one.partition) : null}
          open={({ partition }) => { location.hash = href('partitions', partition) }} />
        {one && <Detail key={one.partition} one={one} kafka={kafka} />}
      </div>
      <RowsNote total={owned.length} what="partitions" />
    </Card>
  )
}

function Detail ({ one, kafka }: { one: Partition; kafka: Kafka }) {
  const title = `Partition ${one.partition}`
  const pin = one.pinned_by
  return (
    <Side label={title} title={title} close={() => { location.hash = href('partitions') }}>
      {troublesOf(one, kafka).map((text) => <p key={text} class="source-why tone-problem"><Icon name="problem" /><span><Prose text={text} />.</span></p>)}
      <Bar name="Cache" part={one.cache_max_bytes ? one.cache_used_bytes / one.cache_max_bytes : 0} words={`${bytes(one.cache_used_bytes)} of ${bytes(one.cache_max_bytes)}`} />
      <Facts facts={[
        ['State', <State {...standingOf(one)} />],
        ['Lag', lagWords(one)],
        ['Pinned by', pin ? <><a href={href('sources', pin.source)}>{pin.source}</a>, <Ago at={pin.since_ms} />: {pin.waits_for}</> : 'nothing'],
        ['Time left', one.time_left_seconds == null ? 'nothing waits, or Kafka deletes nothing' : seconds(one.time_left_seconds)],
        ['Left objects', one.left_objects ? `${count(one.left_objects)}, for buckets that refuse them` : 'none'],
        ['Terms here', termsWords(one)],
        ['Takeover', one.takeover_seconds == null ? 'not finished yet' : `${seconds(one.takeover_seconds)} the last time`],
        ['Repeats', one.window_seconds == null ? 'how far back is not known yet' : `found if they come within ${seconds(one.window_seconds)}`],
        ['Cut early', one.cut_early ? `${plural(one.cut_early, 'batch', 'batches')}, because the cache was full to 70 %` : 'none'],
        ['Late calls', count(one.late)],
        ['Twice', one.second_copies ? `${plural(one.second_copies, 'block stands', 'blocks stand')} in the log twice; each counts once` : 'no block stands in the log twice'],
        ['Offsets', <span class="wrap">needed from {count(one.kept_from_offset)}, read to {count(one.read_offset)}{one.end_offset != null && `, the log ends at ${count(one.end_offset)}`}</span>]
      ]} />
    </Side>
  )
}
