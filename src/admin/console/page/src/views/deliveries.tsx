// Deliveries: what waits and why, and the objects that the store has confirmed.

import { useEffect, useMemo, useState } from 'preact/hooks'
import { type Deliveries as Answer, type Delivered, get, type Pending, query, Refusal } from '../api'
import { bytes, count, date, dateTime, encryption, exactBytes, linesOf, millis, plural, seconds, stream, until } from '../format'
import { useNode, useNow } from '../node'
import { FlushButton } from '../parts/flush'
import { Held } from '../parts/held'
import { type IconName, State } from '../parts/icon'
import { Side } from '../parts/side'
import { Ago, Card, Empty, Facts, Failed, KeyWithCopy, LeftOut, Loading, ObjectName, PageHead, Prose, SourcePicker } from '../parts/small'
import { Table } from '../parts/table'
import { usePolled } from '../poll'
import { href } from '../route'

const EVERY_MS = 3_000
const PAGE = 100
/** Rows after which no older ones are offered: the Archive finds older objects by day. */
const LISTED_MAX = 1_000

const REASONS: Record<string, string> = {
  age: 'by age', size: 'by size', day_end: 'at the end of its day', flush: 'by a flush', pressure: 'for space in the spool', shutdown: 'at shutdown'
}

export function Deliveries ({ rest }: { rest: string[] }) {
  const { status } = useNode()
  const [source, setSource] = useState(rest[0] ?? '')
  useEffect(() => setSource(rest[0] ?? ''), [rest[0]])
  const { data, error, reload } = usePolled<Answer>(`/api/deliveries${query({ source, limit: PAGE })}`, EVERY_MS)
  const ids = useMemo(() => (status?.sources ?? []).map(({ id }) => id).sort(), [status])
  return (
    <>
      <PageHead title="Deliveries" lead="Objects on their way to the bucket, and those the store has confirmed.">
        <FlushButton key={source} {...(source && { source })} done={reload} />
      </PageHead>
      <div class="toolbar"><SourcePicker value={source} ids={ids} change={setSource} /></div>
      {error && data && <Failed error={error} what="The list of deliveries" />}
      <LeftOut missing={data?.missing} />
      {data
        ? <><Waiting pending={data.pending} source={source} /><DeliveredList key={source} first={data} source={source} /></>
        : <Loading error={error} what="The list of deliveries" />}
    </>
  )
}

const PENDING: Record<Pending['state'], { icon: IconName; tone: 'well' | 'notice' | 'problem'; word: string }> = {
  putting: { icon: 'busy', tone: 'well', word: 'being put' },
  waiting: { icon: 'notice', tone: 'notice', word: 'waiting' },
  parked: { icon: 'parked', tone: 'problem', word: 'parked' },
  conflict: { icon: 'problem', tone: 'problem', word: 'conflict' }
}

function Waiting ({ pending, source }: { pending: Pending[]; source: string }) {
  const { status } = useNode()
  const now = useNow()
  const open = (status?.sources ?? []).filter(({ id }) => !source || id === source).reduce((sum, one) => sum + one.pending_calls, 0)
  // An object that is being put for the first time is there for a moment only: a row of it would move the rest of the page.
  const listed = pending.filter(({ state, error }) => state !== 'putting' || error != null)
  const title = listed.length ? `Waiting: ${plural(listed.length, 'sealed object')}` : 'Waiting'
  const beingPut = pending.length > listed.length && <span class="quiet">{count(pending.length - listed.length)} being put</span>
  if (!listed.length) {
    return (
      <Card title={title} actions={beingPut}>
        <p class="note waiting-note">No sealed object waits. {open > 0 ? `${plural(open, 'call is', 'calls are')} in open batches or on the way.` : 'Every call is delivered.'}</p>
      </Card>
    )
  }
  return (
    <Card title={title} actions={beingPut}>
      <ul class="waiting">
        {listed.slice(0, 50).map((one) => {
          const { icon, tone, word } = PENDING[one.state] ?? PENDING.waiting
          return (
            <li key={`${one.bucket}/${one.key}`}>
              <div class="waiting-head">
                <State icon={icon} tone={tone} word={word} />
                <a href={href('sources', one.source)}>{one.source}</a>
                <span>{linesOf(one.stream, one.calls)}, <span title={exactBytes(one.bytes)}>{bytes(one.bytes)} of lines</span></span>
                <span class="waiting-next">{next(one, now)}</span>
              </div>
              <KeyWithCopy value={one.key} />
              {one.error && (
                <p class="waiting-error">
                  {one.class && <code class="class">{one.class.replaceAll('_', ' ')}</code>} <Prose text={one.error} />
                  {one.since_ms != null && <span class="quiet"> Since {dateTime(one.since_ms)} (<Ago at={one.since_ms} />), {plural(one.tries, 'try', 'tries')}.</span>}
                </p>
              )}
            </li>
          )
        })}
      </ul>
      {listed.length > 50 && <p class="note">The first 50 of {count(listed.length)} are shown.</p>}
    </Card>
  )
}

function next ({ state, next_try_ms }: Pending, now: number): string {
  if (state === 'putting') return 'now'
  if (state === 'conflict') return 'needs a decision: its alarm says how'
  return next_try_ms == null ? '' : `next try ${until(next_try_ms, now)}`
}

const rowKey = ({ bucket, key, delivered_at_ms }: Delivered) => `${bucket}/${key} ${delivered_at_ms}`

function DeliveredList ({ first, source }: { first: Answer; source: string }) {
  const [older, setOlder] = useState<Delivered[]>([])
  const [end, setEnd] = useState(false)
  const [failed, setFailed] = useState<Refusal | null>(null)
  // It stays open when it has left the list.
  const [shown, setOpened] = useState<Delivered | null>(null)
  const withOlder = (newest: Delivered[]) => {
    const known = new Set(newest.map(rowKey))
    return [...newest, ...older.filter((one) => !known.has(rowKey(one)))]
  }
  const rows = withOlder(first.delivered)

  // The older ones follow those that were held: behind newer ones there would be a gap.
  const release = () => {
    setOlder([])
    setEnd(false)
  }

  const more = async () => {
    try {
      const before = rows.at(-1)?.delivered_at_ms
      const answer = await get<Answer>(`/api/deliveries${query({ source, limit: PAGE, before })}`)
      setOlder([...older, ...answer.delivered])
      setEnd(answer.delivered.length < PAGE)
      setFailed(null)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      setFailed(error)
    }
  }

  if (!rows.length) {
    return (
      <Card title="Delivered">
        <Empty title="No object is delivered yet">
          <p>A batch becomes an object by size, by age, at the end of its day, or with <b>Flush now</b>. This node lists its deliveries for 35 days.</p>
        </Empty>
      </Card>
    )
  }
  return (
    <Card title="Delivered" actions={first.listed_since_ms != null && <span class="quiet">listed since {date(first.listed_since_ms)}</span>}>
      <div class={shown ? 'with-side' : undefined}>
        <Held latest={first.delivered} rowKey={rowKey} one="object" many="objects" reading={shown != null || older.length > 0} released={release}>{(newest) => <Table
          caption="Delivered objects, newest first" inPlace rows={withOlder(newest)} rowKey={rowKey} max={LISTED_MAX} selected={shown && rowKey(shown)} open={setOpened} columns={[
            { head: 'Delivered', width: '158px', cell: ({ delivered_at_ms }) => <time>{dateTime(delivered_at_ms)}</time> },
            { head: 'Source', width: '15%', cell: (row) => <span title={row.source}>{row.source}</span> },
            { head: 'Calls', width: '84px', number: true, cell: (row) => <span title={stream(row.stream)}>{count(row.calls)}</span> },
            { head: 'Size', width: '84px', number: true, roomy: true, cell: (row) => <span title={exactBytes(row.bytes)}>{bytes(row.bytes)}</span> },
            { head: 'Encryption', width: '104px', roomy: true, cell: (row) => <span title={row.encryption?.kms_key ?? undefined}>{encryption(row.encryption && { ...row.encryption, bucket_key: false })}</span> },
            { head: 'After', width: '104px', number: true, roomy: true, cell: (row) => <span title={`From its first call to the store's confirmation. The put took ${millis(row.put_ms)}`}>{seconds(row.seconds_to_deliver)}</span> },
            {
              head: 'Key',
              width: 'auto',
              narrow: 'title',
              cell: (row) => <button type="button" class="row-button" onClick={() => setOpened(row)}><ObjectName value={row.key} /></button>
            }
          ]} />}</Held>
        {shown && <DeliveredDetail key={rowKey(shown)} row={shown} close={() => setOpened(null)} />}
      </div>
      {failed && <Failed error={failed} what="Older deliveries" />}
      {!end && rows.length >= PAGE && rows.length < LISTED_MAX && <p class="card-foot"><button type="button" class="link-button" onClick={more}>Show older ones</button></p>}
    </Card>
  )
}

function DeliveredDetail ({ row, close }: { row: Delivered; close: () => void }) {
  return (
    <Side label="The object" title={`Object of ${row.source}`} close={close}>
      <Facts facts={[
        ['Key', <KeyWithCopy value={row.key} />],
        ['Bucket', <span class="mono wrap">{row.bucket}</span>],
        ['Holds', `${linesOf(row.stream, row.calls)}, received on ${date(row.day_ms)}`],
        ['Size', `${bytes(row.bytes)} (${exactBytes(row.bytes)})`],
        ['Encryption', encryption(row.encryption)],
        row.encryption?.kms_key != null && ['KMS key', <span class="mono wrap">{row.encryption.kms_key}</span>],
        ['First call', dateTime(row.first_received_at_ms)],
        ['Delivered', `${dateTime(row.delivered_at_ms)}, ${seconds(row.seconds_to_deliver)} after its first call`],
        ['The put took', millis(row.put_ms)],
        row.reason != null && ['Sealed', REASONS[row.reason] ?? row.reason]
      ]} />
      <p class="card-foot"><a href={href('archive', row.source, row.day_ms, row.stream)}>Its day in the archive</a></p>
    </Side>
  )
}
