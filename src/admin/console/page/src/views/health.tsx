// Health: spool, disk, store, ledger, clock, configuration, version.

import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { History, Latency, Ledger, LedgerCounts, NodeInfo, Status } from '../api'
import { bytes, count, dateTime, exactBytes, millis, percent, plural, rate, RATE_UNIT, seconds, sentence } from '../format'
import { useNode, useNow } from '../node'
import { Chart } from '../parts/chart'
import { Icon, State } from '../parts/icon'
import { Bar, Card, Empty, Facts, Failed, Filter, Loading, PageHead, Stat } from '../parts/small'
import { Spark } from '../parts/spark'
import { Table } from '../parts/table'
import { usePolled } from '../poll'
import { spanOf, timeLeft } from '../time-left'

const EVERY_MS = 5_000

export function Health () {
  const { status } = useNode()
  const node = usePolled<NodeInfo>('/api/node', EVERY_MS)
  const history = usePolled<History>('/api/history', EVERY_MS)
  // The cards come together: each would push down those below it.
  const isReady = status != null && (node.data ?? node.error) != null && (history.data ?? history.error) != null
  if (!isReady) return <><PageHead title="Health" lead={status && <>Node <b>{status.node}</b>, up for {seconds(status.uptime_seconds)}</>} /><p class="loading">Loading…</p></>
  return (
    <>
      <PageHead title="Health" lead={status && <>Node <b>{status.node}</b>, up for {seconds(status.uptime_seconds)}</>} />
      {status.kafka ? status.kafka.role !== 'collector' && <Delivered history={history.data} /> : <Spool status={status} history={history.data} />}
      {history.error && <Failed error={history.error} what="The history" />}
      {status?.ledger && <LedgerCard ledger={status.ledger} since={status.kafka ? 'in the partitions that are here, since the log was made,' : 'since the spool was made'} />}
      {!node.data && <Loading error={node.error} what="The state of the node" />}
      {node.data && <>
        {node.error && <Failed error={node.error} what="The state of the node" />}
        <Latencies role={status.kafka?.role} node={node.data} />
        <div class={status.kafka?.role === 'writer' ? undefined : 'columns'}>
          {status.kafka?.role !== 'writer' && <Answers node={node.data} />}
          <Process node={node.data} status={status} />
        </div>
        <Configuration node={node.data} />
      </>}
    </>
  )
}

/** A process with a log over Kafka syncs nothing, and a collector puts nothing. */
function Latencies ({ role, node }: { role: string | undefined; node: NodeInfo }) {
  if (role === 'collector') return null
  const puts = (
    <LatencyCard title="Puts to S3" latency={node.put} note="From the request to the store's confirmation.">
      <Failures failures={node.put_failures} />
    </LatencyCard>
  )
  if (role) return puts
  return (
    <div class="columns">
      <LatencyCard title="Sync to disk" latency={node.sync} note="A call is acknowledged after the sync of its block." />
      {puts}
    </div>
  )
}

/** What a writer delivered and keeps, in the last minutes. A collector keeps no history. */
function Delivered ({ history }: { history: History | null }) {
  if (!history || history.delivered_bytes.length < 2) return null
  const { delivered_bytes: delivered, spool_bytes: cache, step_seconds: step, now_ms: now } = history
  const times = (values: number[]) => values.map((_value, index) => now - (values.length - 1 - index) * step * 1_000)
  const span = spanOf(delivered.length * step)
  return (
    <Card title="Delivery">
      <div class="columns charts">
        <Chart title={`Bytes of objects a second, last ${span}`} times={times(delivered)} values={delivered} format={bytes} />
        <Chart title={`Bytes in the cache, last ${span}`} times={times(cache)} values={cache} format={bytes} />
      </div>
    </Card>
  )
}

function Spool ({ status: { spool, open_batches, sealed_objects }, history }: { status: Status; history: History | null }) {
  const series = useMemo(() => {
    const times = (values: number[]) => values.map((_value, index) => history!.now_ms - (values.length - 1 - index) * history!.step_seconds * 1_000)
    return history && { received: history.received, spool: history.spool_bytes, at: times(history.received), spoolAt: times(history.spool_bytes) }
  }, [history])
  const [left, leftNote] = timeLeft(spool)
  const span = spanOf((history?.received.length ?? 0) * (history?.step_seconds ?? 0))
  return (
    <Card title="Spool">
      <dl class="stats">
        <Stat name="In use" value={bytes(spool.used_bytes)} title={exactBytes(spool.used_bytes)} note={`${percent(spool.used_bytes, spool.max_bytes)} of ${bytes(spool.max_bytes)}, ${plural(spool.segments, 'segment')}; segments are prepared in advance`} />
        <Stat name="Time left" value={left} note={leftNote} />
        <Stat name="Open batches" value={count(open_batches)} note={`${plural(sealed_objects, 'sealed object')} not in the store`} />
        <Stat name="Parked" value={bytes(spool.parked_bytes)} title={exactBytes(spool.parked_bytes)} note={spool.parked_bytes > 0 ? 'objects that wait in files of their own' : 'no object waits in a file of its own'} />
      </dl>
      <Bar name="Spool" part={spool.max_bytes ? spool.used_bytes / spool.max_bytes : 0} words={`${bytes(spool.used_bytes)} of ${bytes(spool.max_bytes)}`} />
      {series && series.at.length > 1 && (
        <div class="columns charts">
          <Chart title={`Calls a second, last ${span}`} times={series.at} values={series.received} format={rate} unit={RATE_UNIT} />
          <Chart title={`Bytes in the spool, last ${span}`} times={series.spoolAt} values={series.spool} format={bytes} />
        </div>
      )}
    </Card>
  )
}

function LedgerCard ({ ledger, since }: { ledger: Ledger; since: string }) {
  const others: [string, LedgerCounts][] = [['Object sets', ledger.object_sets], ['Dead letters', ledger.dead_letters]]
  return (
    <Card title="Ledger" actions={ledger.balanced
      ? <State icon="well" tone="well" word="balanced" />
      : <State icon="problem" tone="problem" word="does not balance" />}>
      <p class="note">Each call {since} is accounted for. The two sides of each equation are counted in different places.</p>
      <Equations counts={ledger.totals} />
      {others.filter(([, counts]) => counts && (counts.stored > 0 || counts.received > 0)).map(([name, counts]) => (
        <details key={name}><summary>{name}</summary><Equations counts={counts} /></details>
      ))}
      {ledger.differences.length > 0 && <ul class="differences">{ledger.differences.slice(0, 20).map((one) => <li key={one}>{sentence(one)}</li>)}</ul>}
    </Card>
  )
}

function Equations ({ counts: c }: { counts: LedgerCounts }) {
  return (
    <div class="equations">
      <Equation left={['received', c.received]} right={[['stored', c.stored], ['rejected', c.rejected], ['repeated', c.repeated], ['suppressed', c.suppressed]]} />
      <Equation left={['stored', c.stored]} right={[['delivered', c.delivered], ['pending', c.pending], ['lost', c.lost]]} />
    </div>
  )
}

function Equation ({ left, right }: { left: [string, number]; right: [string, number][] }) {
  const sum = right.reduce((total, [, n]) => total + n, 0)
  const holds = left[1] === sum
  return (
    <p class="equation">
      <Term name={left[0]} n={left[1]} />
      <span class={holds ? 'sign' : 'sign tone-problem'}>{holds ? '=' : '≠'}<span class="sr">{holds ? 'equals' : 'differs from'}</span></span>
      {right.map(([name, n], index) => <>{index > 0 && <span class="sign">+</span>}<Term name={name} n={n} /></>)}
      {!holds && <span class="tone-problem equation-off"><Icon name="problem" size={14} />off by {count(Math.abs(left[1] - sum))}</span>}
    </p>
  )
}

const Term = ({ name, n }: { name: string; n: number }) => <span class="term"><b>{count(n)}</b><span>{name}</span></span>

function LatencyCard ({ title, latency, note, children }: {
  title: string; latency: Latency; note: string; children?: ComponentChildren
}) {
  return (
    <Card title={title} actions={<span class="quiet">the last {count(Math.min(latency.count, 512))} of {count(latency.count)}</span>}>
      <dl class="stats three">
        <Stat name="Median" value={millis(latency.p50_ms)} />
        <Stat name="99 % within" value={millis(latency.p99_ms)} />
        <Stat name="Longest" value={millis(latency.max_ms)} />
      </dl>
      <div class="wide-spark"><Spark values={latency.recent} /></div>
      <p class="note">{note}</p>
      {children}
    </Card>
  )
}

function Failures ({ failures }: { failures: { kind: string; count: number }[] }) {
  const some = failures.filter(({ count: n }) => n > 0)
  return some.length
    ? <><h3>Failed puts since the start</h3><ul class="counts">{some.map(({ kind, count: n }) => <li key={kind}><span>{kind.replaceAll('_', ' ')}</span><b>{count(n)}</b></li>)}</ul></>
    : <p class="note"><State icon="well" tone="well" word="No put has failed since the start" /></p>
}

const MEANING: Record<number, string> = {
  200: 'taken', 204: 'preflight', 400: 'bad request', 401: 'unknown write key', 404: 'no such route', 405: 'method', 408: 'too slow',
  413: 'too large', 415: 'encoding', 429: 'too many', 431: 'headers too large', 499: 'client left', 500: 'fault', 503: 'refused for now'
}

function Answers ({ node }: { node: NodeInfo }) {
  const all = node.answers.reduce((sum, one) => sum + one.count, 0)
  return (
    <Card title="Answers to SDKs" actions={<span class="quiet">since the start</span>}>
      {node.answers.length
        ? <Table caption="Answers by status" rows={node.answers} rowKey={({ status }) => String(status)} columns={[
            { head: 'Status', width: 'auto', narrow: 'title', cell: ({ status }) => <><b>{status}</b> <span class="quiet">{MEANING[status] ?? ''}</span></> },
            { head: 'Requests', width: '130px', number: true, cell: (one) => count(one.count) },
            { head: 'Share', width: '80px', number: true, cell: (one) => percent(one.count, all) }
          ]} />
        : <p class="note">No request has come yet.</p>}
      <p class="note">{plural(node.connections, 'connection')} open.</p>
    </Card>
  )
}

function Process ({ node, status }: { node: NodeInfo; status: Status | null }) {
  const now = useNow()
  const { used, max } = node.open_files
  return (
    <Card title="Process">
      <Facts facts={[
        ['Version', <>{node.version}{node.commit && <> <code>{node.commit.slice(0, 12)}</code></>}</>],
        ['Built', node.built ?? 'unknown'],
        ['System', node.os],
        ['Started', `${dateTime(node.started_ms)}, up for ${seconds((now - node.started_ms) / 1_000)}`],
        ['Clock', dateTime(now)],
        ['Clock steps', count(node.clock.steps)],
        ['Memory', <span title={exactBytes(node.memory_bytes)}>{bytes(node.memory_bytes)}</span>],
        ['Open files', `${count(used)}${max == null ? '' : ` of ${count(max)}`}`],
        !status?.kafka && ['Spool', <span class="mono wrap">{node.spool_dir ?? 'none'}</span>],
        status != null && !status.kafka && ['Spool id', <span class="mono wrap">{status.spool_id}</span>],
        status?.kafka != null && ['Log id', <span class="mono wrap">{status.kafka.log_id ?? 'not known yet'}</span>],
        status?.kafka?.role !== 'writer' && ['SDKs send to', <span class="mono wrap">{node.sdk_address}</span>],
        status?.s3_proxy != null && ['Proxy for S3', <span class="mono wrap">{status.s3_proxy}</span>]
      ]} />
    </Card>
  )
}

function Configuration ({ node }: { node: NodeInfo }) {
  const [text, setText] = useState('')
  const wanted = text.trim().toLowerCase()
  const rows = node.config.filter(({ name, value, from }) => `${name} ${value} ${from}`.toLowerCase().includes(wanted))
  return (
    <Card title="Configuration in force" actions={<Filter label="Filter" value={text} placeholder="Name, value, or where it is from" change={setText} />}>
      {rows.length
        ? <Table class="config" caption="Configuration in force" rows={rows} rowKey={({ name }) => name} max={1_000} columns={[
            { head: 'Setting', width: '38%', narrow: 'title', cell: ({ name }) => <span class="mono wrap">{name}</span> },
            { head: 'Value', width: 'auto', cell: ({ value }) => <span class="mono wrap">{value || <span class="quiet">(empty)</span>}</span> },
            { head: 'From', width: '112px', cell: ({ from }) => <span class={from === 'default' ? 'quiet' : undefined}>{from}</span> }
          ]} />
        : <Empty title="No setting fits the filter" />}
    </Card>
  )
}
