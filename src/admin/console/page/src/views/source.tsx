// The page of one source.

import { useRef } from 'preact/hooks'
import type { History, LedgerCounts, NodeInfo, OpenBatch, SourceStatus } from '../api'
import { bytes, count, date, encryption, exactBytes, linesOf, NONE, parseSize, plural, rate, seconds, sentence, stream, until } from '../format'
import { useNode, useNow } from '../node'
import { FlushButton } from '../parts/flush'
import { Icon } from '../parts/icon'
import { Ago, Bar, Card, Empty, Facts, KeyWithCopy, Loading, PageHead, Prose, Stat } from '../parts/small'
import { lastRate, StateOfSource } from '../parts/source'
import { Spark } from '../parts/spark'
import { Table } from '../parts/table'
import { usePolled } from '../poll'
import { sourceState } from '../problems'
import { href } from '../route'
import { spanOf } from '../time-left'
import { PointHere } from './point-here'

const HISTORY_EVERY_MS = 5_000
const NODE_EVERY_MS = 60_000

export function Source ({ id }: { id: string }) {
  const { status } = useNode()
  const now = useNow()
  const history = usePolled<History>('/api/history', HISTORY_EVERY_MS)
  const source = status?.sources.find((one) => one.id === id)
  const back = <a class="back" href={href('sources')}><Icon name="back" size={14} />Sources</a>
  if (!status) return <><PageHead title={id} lead={back} /><Loading error={null} what="The status" /></>
  if (!source) {
    return <><PageHead title={id} lead={back} /><Empty title="This node has no such source"><p>It is not in the configuration, and nothing of it is in the spool.</p></Empty></>
  }
  const values = history.data?.sources[id] ?? []
  const { why, level } = sourceState(source, now)
  const { role } = status.kafka ?? {}
  const [receives, delivers] = [role !== 'writer', role !== 'collector']
  return (
    <>
      <PageHead title={<>{id} <StateOfSource source={source} now={now} /></>} lead={back}>
        {receives && <a class="button" href={href('live', id)}><Icon name="live" size={14} />Its live calls</a>}
        {receives && delivers && <a class="button" href={href('archive', id)}><Icon name="archive" size={14} />Its days</a>}
        {delivers && <FlushButton source={id} />}
      </PageHead>
      {why && level !== 'quiet' && <p class={`source-why tone-${level}`}><Icon name={level} /><span><Prose text={why} /></span></p>}
      <Figures source={source} values={values} step={history.data?.step_seconds ?? 5} role={role} />
      {delivers && <Batches batches={source.batches ?? []} now={now} />}
      <div class={receives && delivers ? 'columns' : undefined}>
        {delivers && <Delivery source={source} listed={receives} />}
        {receives && <Libraries source={source} />}
      </div>
      {delivers && <LedgerCard source={source} since={status.kafka ? 'in the partitions that are here, since the log was made' : 'since the spool was made'} />}
      {receives && <PointHere id={id} />}
    </>
  )
}

function Figures ({ source, values, step, role }: { source: SourceStatus; values: number[]; step: number; role: string | undefined }) {
  const [receives, delivers] = [role !== 'writer', role !== 'collector']
  const { totals } = source
  return (
    <dl class="stats">
      {!role && <Stat name="Calls a second" value={rate(lastRate(values))} note={`highest ${rate(Math.max(0, ...values))} in ${spanOf(step * Math.max(1, values.length))}`}><Spark values={values} /></Stat>}
      {receives && <Stat name="Last call" value={<Ago at={source.last_received_ms} />} note={`${count(totals.received)} received since the start`} />}
      {delivers && <Stat name="Waiting" value={count(source.pending_calls)} note={source.oldest_undelivered_seconds == null ? 'everything is delivered' : `the oldest for ${seconds(source.oldest_undelivered_seconds)}`} />}
      {receives && <Stat name="Rejected" value={count(totals.rejected)} note="not valid calls; kept, with the reason" />}
      {role === 'writer' && <Stat name="Delivered" value={count(totals.delivered)} note="calls, since the start" />}
      {receives && delivers && <Stat name="Repeated" value={count(totals.repeated)} note="sent again, not stored twice" />}
    </dl>
  )
}

/** How long a stream without an open batch keeps its row. */
const ROW_MS = 60_000

/** The streams that have a row: on a quiet source or with short batches, rows would come and go with each answer. */
function useStreams (batches: OpenBatch[], now: number): string[] {
  const seen = useRef(new Map([['calls', Infinity]]))
  for (const { stream } of batches) if (stream !== 'calls') seen.current.set(stream, now)
  for (const [stream, at] of seen.current) if (now - at > ROW_MS) seen.current.delete(stream)
  return [...seen.current.keys()]
}

function Batches ({ batches, now }: { batches: OpenBatch[]; now: number }) {
  const node = usePolled<NodeInfo>('/api/node', NODE_EVERY_MS)
  const size = parseSize(node.data?.config.find(({ name }) => name === 'flush.max_bytes')?.value ?? '')
  const rows = useStreams(batches, now).flatMap((name) => {
    const open = batches.filter((batch) => batch.stream === name)
    return open.length ? open.map((batch) => <Batch key={`${name} ${batch.day_ms}`} batch={batch} now={now} size={size} />) : [<NoBatch key={name} stream={name} />]
  })
  return <Card title="Open batches"><ul class="batches">{rows}</ul></Card>
}

function Batch ({ batch, now, size }: { batch: OpenBatch; now: number; size: number | null }) {
  const age = now - batch.first_received_at_ms
  const whole = batch.due_at_ms - batch.first_received_at_ms
  const isKnown = batch.object_bytes_estimate > 0
  const known = isKnown ? `about ${bytes(batch.object_bytes_estimate)}` : 'not known yet'
  const bytesWords = size && isKnown ? `${known} of ${bytes(size)}` : known
  return (
    <li class="batch">
      <p class="batch-head">
        <b>{sentence(stream(batch.stream))}</b> <span class="quiet">received on {date(batch.day_ms)}</span>
        <span class="batch-size" title={exactBytes(batch.bytes)}>{linesOf(batch.stream, batch.calls)}, {bytes(batch.bytes)} of lines</span>
      </p>
      <div class="bars">
        <Bar name={`Sealed ${until(batch.due_at_ms, now)}`} part={whole > 0 ? age / whole : 1} words={`${seconds(age / 1_000)} of ${seconds(whole / 1_000)}`} />
        <Bar name="Size of the object" part={size ? batch.object_bytes_estimate / size : 0} words={bytesWords} />
      </div>
    </li>
  )
}

/** As large as a batch, so that nothing moves when one opens. */
function NoBatch ({ stream: name }: { stream: string }) {
  return (
    <li class="batch">
      <p class="batch-head"><b>{sentence(stream(name))}</b> <span class="quiet">no batch is open</span><span class="batch-size">the next {name === 'calls' ? 'call' : 'line'} opens one</span></p>
      <div class="bars">
        <Bar name="Sealed" part={0} words={NONE} />
        <Bar name="Size of the object" part={0} words={NONE} />
      </div>
    </li>
  )
}

/** `listed`: whether there is a view of its deliveries. */
function Delivery ({ source, listed }: { source: SourceStatus; listed: boolean }) {
  const last = source.last_object
  return (
    <Card title="Delivery">
      <Facts facts={[
        ['Bucket', <span class="mono wrap">{source.bucket}</span>],
        ['Encryption', source.encryption],
        source.role != null && ['Role', <span class="mono wrap">{source.role}</span>],
        ['Last object', last ? <>{plural(last.calls, 'line')}, <span title={exactBytes(last.bytes)}>{bytes(last.bytes)}</span>, <Ago at={last.delivered_at_ms} /></> : <span class="quiet">none since the node started</span>],
        last != null && ['Its key', <KeyWithCopy value={last.key} />],
        last != null && ['Its encryption', encryption(last.encryption)],
        source.requests_refused > 0 && ['Refused', `${plural(source.requests_refused, 'request')}, because the spool had no space left`]
      ]} />
      {listed && <p class="card-foot"><a href={href('deliveries', source.id)}>All its deliveries</a></p>}
    </Card>
  )
}

function Libraries ({ source }: { source: SourceStatus }) {
  const libraries = source.libraries ?? []
  return (
    <Card title="SDKs seen">
      {libraries.length
        ? <Table caption="SDKs seen" rows={libraries} rowKey={({ name, version }) => `${name} ${version}`} columns={[
            { head: 'SDK', width: '46%', narrow: 'title', cell: ({ name }) => <span class="mono" title={name}>{name}</span> },
            { head: 'Version', width: 'auto', cell: ({ version }) => <span class="mono" title={version}>{version}</span> },
            { head: 'Last seen', width: '104px', cell: ({ last_seen_ms }) => <Ago at={last_seen_ms} /> }
          ]} />
        : <p class="note">No SDK has named itself in <code>context.library</code> since the node started.</p>}
    </Card>
  )
}

const ACCOUNTS: (keyof LedgerCounts)[] = ['received', 'stored', 'rejected', 'repeated', 'suppressed', 'delivered', 'pending', 'lost']

function LedgerCard ({ source, since }: { source: SourceStatus; since: string }) {
  const rows = [{ stream: 'calls', ledger: source.ledger }, ...source.streams ?? []]
  return (
    <Card title="Ledger" actions={<span class="quiet">{since}</span>}>
      <Table caption="Ledger of this source" minWidth={760} rows={rows} rowKey={(row) => row.stream} columns={[
        { head: 'Stream', width: 'auto', cell: (row) => stream(row.stream) },
        ...ACCOUNTS.map((account) => ({
          head: account, width: '10.5%', number: true, cell: (row: { ledger: LedgerCounts }) => count(row.ledger[account])
        }))
      ]} />
    </Card>
  )
}
