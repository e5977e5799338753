// Sources: all of them, or the page of one.

import { useMemo, useRef, useState } from 'preact/hooks'
import type { History, SourceStatus } from '../api'
import { asShown, count, plural, rate, seconds } from '../format'
import { useNode, useNow } from '../node'
import { Ago, Empty, Filter, Loading, PageHead, Select } from '../parts/small'
import { lastRate, StateOfSource } from '../parts/source'
import { Spark } from '../parts/spark'
import { type Column, RowsNote, Table } from '../parts/table'
import { usePolled } from '../poll'
import { type SourceState, sourceState } from '../problems'
import { href } from '../route'
import { mean, spanOf } from '../time-left'
import { PointHere } from './point-here'
import { Source } from './source'

const HISTORY_EVERY_MS = 5_000
/** How long rows keep their places if they are ordered by what changes all the time. */
const ORDER_MS = 10_000

const ORDERS = [
  { value: 'busiest', label: 'Busiest first (mean)' },
  { value: 'waiting', label: 'Most waiting, each 10 s' },
  { value: 'state', label: 'Problems first' },
  { value: 'name', label: 'By name' }
]

/** What is counted since the start, by what the process does with a log over Kafka. */
const COUNTED: Record<string, string> = {
  '': 'The columns Rejected and Repeated count calls', collector: 'The columns Rejected and Received count calls', writer: 'The column Delivered counts calls'
}

const SEVERITY: Record<SourceState['level'], number> = { problem: 0, notice: 1, well: 2, quiet: 3 }

export function Sources ({ rest }: { rest: string[] }) {
  return rest[0] ? <Source key={rest[0]} id={rest[0]} /> : <AllSources />
}

function AllSources () {
  const { status } = useNode()
  const now = useNow()
  const history = usePolled<History>('/api/history', HISTORY_EVERY_MS)
  const [text, setText] = useState('')
  const [order, setOrder] = useState('busiest')
  const rates = history.data?.sources
  const ranks = useRef<{ of: string; ranks: Map<string, number> }>({ of: '', ranks: new Map() })

  const rows = useMemo(() => {
    const wanted = text.trim().toLowerCase()
    const found = (status?.sources ?? []).filter(({ id }) => id.toLowerCase().includes(wanted))
    const byName = (a: SourceStatus, b: SourceStatus) => a.id < b.id ? -1 : 1
    // The order is by the mean that is shown, not by the rate of the moment: rows must not change places all the time.
    // Sources with the same number stand by their totals.
    const busy = ({ id }: SourceStatus) => asShown(mean(rates?.[id]) ?? 0)
    const compare: Record<string, (a: SourceStatus, b: SourceStatus) => number> = {
      busiest: (a, b) => busy(b) - busy(a) || b.totals.received - a.totals.received || byName(a, b),
      waiting: (a, b) => b.pending_calls - a.pending_calls || byName(a, b),
      state: (a, b) => SEVERITY[sourceState(a, now).level] - SEVERITY[sourceState(b, now).level] || byName(a, b),
      name: byName
    }
    found.sort(compare[order])
    const kept = ranks.current
    const of = `${order} ${Math.floor(now / ORDER_MS)}`
    if (order === 'waiting' && kept.of === of) {
      const rank = ({ id }: SourceStatus) => kept.ranks.get(id) ?? Infinity
      return found.sort((a, b) => rank(a) === rank(b) ? 0 : rank(a) - rank(b))
    }
    if (!wanted) ranks.current = { of, ranks: new Map(found.map(({ id }, index) => [id, index])) }
    return found
  }, [status, rates, text, order, order === 'state' && Math.floor(now / 5_000)])

  // Without the history the rows would stand in another order at first.
  if (!status || !(history.data ?? history.error)) return <><PageHead title="Sources" /><Loading error={null} what="The status" /></>
  // A young node has a short history.
  const span = history.data && spanOf(history.data.received.length * history.data.step_seconds)
  // A collector delivers nothing and finds no repeats, and a writer receives nothing.
  const { role } = status.kafka ?? {}
  const delivers = role !== 'collector'
  const all: (Column<SourceStatus> | false)[] = [
    { head: 'Source', width: 'auto', narrow: 'title', cell: ({ id }) => <a class="row-link" href={href('sources', id)} title={id}>{id}</a> },
    { head: 'State', width: '116px', cell: (source) => <StateOfSource source={source} now={now} /> },
    // A collector keeps no history, and a writer receives nothing.
    !role && {
      head: span ? `Mean calls/s, ${span}` : 'Mean calls/s',
      width: '176px',
      roomy: true,
      cell: ({ id }) => <span class="spark-cell" title={`now ${rate(lastRate(rates?.[id]))} calls/s`}><Spark values={rates?.[id] ?? []} /><span class="spark-number">{rate(mean(rates?.[id]))}</span></span>
    },
    role !== 'writer' && { head: 'Last call', width: '104px', cell: ({ last_received_ms }) => <Ago at={last_received_ms} /> },
    delivers && { head: 'Waiting', width: '96px', number: true, cell: ({ pending_calls }) => count(pending_calls) },
    delivers && { head: 'Oldest', width: '112px', number: true, roomy: true, cell: ({ oldest_undelivered_seconds }) => seconds(oldest_undelivered_seconds) },
    role !== 'writer' && { head: 'Rejected', width: '88px', number: true, roomy: true, cell: ({ totals }) => count(totals.rejected) },
    !role && { head: 'Repeated', width: '88px', number: true, roomy: true, cell: ({ totals }) => count(totals.repeated) },
    role === 'collector' && { head: 'Received', width: '112px', number: true, cell: ({ totals }) => count(totals.received) },
    role === 'writer' && { head: 'Delivered', width: '112px', number: true, cell: ({ totals }) => count(totals.delivered) },
    role === 'writer' && { head: 'Last object', width: '112px', roomy: true, cell: ({ last_object }) => <Ago at={last_object?.delivered_at_ms} /> }
  ]
  const columns = all.filter((column) => column !== false)
  return (
    <>
      <PageHead title="Sources" lead={`Where calls come from. ${COUNTED[role ?? ''] ?? COUNTED['']} since the node started.`} />
      {status.sources.length
        ? <>
            <div class="toolbar">
              <Filter label="Filter" value={text} placeholder={`Name, of ${plural(status.sources.length, 'source')}`} change={setText} />
              <Select label="Order" value={order} choices={ORDERS} change={setOrder} />
            </div>
            {rows.length
              ? <Table caption="Sources" columns={columns} rows={rows} rowKey={({ id }) => id} open={({ id }) => { location.hash = href('sources', id) }} />
              : <Empty title="No source has this in its name" />}
            <RowsNote total={rows.length} what="sources" />
          </>
        : <Empty title="No sources yet">
            <p>A source is where calls come from, such as one app or website. In dev mode each write key becomes a source with its first call; otherwise sources are <code>[[source]]</code> tables in the configuration.</p>
          </Empty>}
      {role !== 'writer' && <PointHere id={null} />}
    </>
  )
}
