// One day of a source: its objects, from this node's list or from the bucket, and a look into them.

import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { type Archive, type ArchiveObject, type ArchiveObjects, type Denied, get, getExact, type Peek, query, Refusal } from '../api'
import { bytes, count, date, exactBytes, linesOf, NONE, plural } from '../format'
import { useNode } from '../node'
import { Code, CopyButton } from '../parts/copy'
import { Icon } from '../parts/icon'
import { Json } from '../parts/json'
import { Side } from '../parts/side'
import { Ago, Card, Empty, Failed, KeyWithCopy, Loading, ObjectName, PageHead, Prose } from '../parts/small'
import { Table } from '../parts/table'
import { usePolled } from '../poll'
import { href } from '../route'
import { syncCommand } from '../sync'
import { DayState } from './archive'
import { jsonText } from '../exact'

const EVERY_MS = 5_000
/** How often the bucket is asked: less often than the node, because each listing is a request that costs. */
const BUCKET_EVERY_MS = 60_000
const SHOWN_MAX = 1_000

type From = 'list' | 'bucket'

export function Day ({ source, dayMs, stream }: { source: string; dayMs: number; stream: string }) {
  const { session } = useNode()
  const [from, setFrom] = useState<From>('list')
  const days = usePolled<Archive>(`/api/archive${query({ source })}`, EVERY_MS)
  const day = days.data?.days.find((one) => one.day_ms === dayMs && one.stream === stream && one.source === source)
  const place = days.data?.places[source]
  return (
    <>
      <PageHead lead={<a class="back" href={href('archive', source)}><Icon name="back" size={14} />Days of {source}</a>}
        title={<>{date(dayMs)} {day && <DayState state={day.state} why={day.why} />}</>}>
        <p class="day-sum">{day ? <>{plural(day.objects, 'object')}, {linesOf(day.stream, day.calls)}, <span title={exactBytes(day.bytes)}>{bytes(day.bytes)}</span></> : NONE}</p>
      </PageHead>
      {day?.why && <p class="source-why tone-notice"><Icon name="notice" /><span><Prose text={day.why} /></span></p>}
      <Objects key={from} source={source} dayMs={dayMs} stream={stream} from={from} setFrom={setFrom}>
        {place && <Card title="Download this day"><Code text={syncCommand(place, session.dev, source, stream, dayMs)} what="the command that downloads this day" /></Card>}
      </Objects>
    </>
  )
}

/** The objects, and below them `children`: these wait for the first answer, which would push them down. */
function Objects ({ source, dayMs, stream, from, setFrom, children }: {
  source: string; dayMs: number; stream: string; from: From; setFrom: (from: From) => void; children: ComponentChildren
}) {
  const of = { source, day: dayMs, stream, from }
  const { data, error } = usePolled<ArchiveObjects>(`/api/archive/objects${query(of)}`, from === 'list' ? EVERY_MS : BUCKET_EVERY_MS)
  const [further, setFurther] = useState<ArchiveObjects | null>(null)
  const [failed, setFailed] = useState<Refusal | null>(null)
  const [opened, setOpened] = useState<string | null>(null)
  const first = data?.objects ?? []
  const known = new Set(first.map(({ key }) => key))
  const rows = [...first, ...(further?.objects ?? []).filter(({ key }) => !known.has(key))]
  const next = further ? further.next : data?.next ?? null
  const more = async () => {
    try {
      const answer = await get<ArchiveObjects>(`/api/archive/objects${query({ ...of, after: next })}`)
      setFurther({ ...answer, objects: [...further?.objects ?? [], ...answer.objects] })
      setFailed(null)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      setFailed(error)
    }
  }
  const toggle = (
    <div class="toggle" role="group" aria-label="Where the list of objects is from">
      {(['list', 'bucket'] as const).map((one) => (
        <button key={one} type="button" aria-pressed={from === one} onClick={() => setFrom(one)}>
          {one === 'list' ? 'This node\'s list' : 'The bucket'}
        </button>
      ))}
    </div>
  )
  return (
    <>
      <Card title="Objects" actions={toggle}>
        {error && <Failed error={error} what="The list of objects" />}
        {!data && !error && <Loading error={null} what="" />}
        {data?.denied && <Refused denied={data.denied} what="The bucket refuses to list its objects" />}
        {data && !data.denied && (rows.length
          ? <div class={opened ? 'with-side' : undefined}>
              <Table caption="Objects of the day" rows={rows} rowKey={({ key }) => key} max={SHOWN_MAX} selected={opened}
                open={({ key }) => setOpened(key)} columns={[
                  { head: 'Object', width: 'auto', narrow: 'title', cell: ({ key }) => <button type="button" class="row-button" onClick={() => setOpened(key)}><ObjectName value={key} /></button> },
                  ...(from === 'list' ? [{ head: 'Lines', width: '96px', number: true, cell: ({ calls }: ArchiveObject) => count(calls) }] : []),
                  { head: 'Size', width: '96px', number: true, cell: ({ bytes: size }) => <span title={exactBytes(size)}>{bytes(size)}</span> },
                  { head: from === 'list' ? 'Delivered' : 'Last modified', width: '124px', cell: ({ delivered_at_ms, last_modified_ms }) => <Ago at={delivered_at_ms ?? last_modified_ms} /> }
                ]} />
              {opened && <PeekPanel key={opened} source={source} objectKey={opened} close={() => setOpened(null)} />}
            </div>
          : <Empty title={from === 'list' ? 'This node\'s list has no object of this day' : 'The bucket has no object of this day'}>
              {from === 'list' && <p>The list begins with the first delivery of this version. Older objects, and those of other nodes, are in the bucket.</p>}
            </Empty>)}
        {failed && <Failed error={failed} what="More objects" />}
        {next != null && rows.length < SHOWN_MAX && <p class="card-foot"><button type="button" class="link-button" onClick={more}>Show more</button></p>}
        {next != null && rows.length >= SHOWN_MAX && <p class="note">The first {count(SHOWN_MAX)} objects are shown.</p>}
      </Card>
      {(data || error) && children}
    </>
  )
}

function Refused ({ denied: { error, statement }, what }: { denied: Denied; what: string }) {
  return (
    <div class="denied">
      <p><Icon name="notice" /><span><b>{what}.</b> <Prose text={error} /></span></p>
      <p>Deliveries do not need this permission. This statement in the policy of the node's role or user grants it:</p>
      <Code text={statement} what="the policy statement" />
    </div>
  )
}

/** The first lines of an object. Objects never change, so the lines are read once. */
function PeekPanel ({ source, objectKey, close }: { source: string; objectKey: string; close: () => void }) {
  const [peek, setPeek] = useState<Peek | null>(null)
  const [failed, setFailed] = useState<Refusal | null>(null)
  useEffect(() => {
    let gone = false
    getExact<Peek>(`/api/archive/peek${query({ source, key: objectKey })}`).then(
      (answer) => { if (!gone) setPeek(answer) },
      (error: unknown) => {
        if (!(error instanceof Refusal)) throw error
        if (!gone) setFailed(error)
      }
    )
    return () => { gone = true }
  }, [source, objectKey])
  return (
    <Side label="First lines of the object" title="First lines" close={close}
      actions={peek && !peek.denied && <CopyButton text={() => peek.lines.map((line) => jsonText(line)).join('\n')} what="the lines" />}>
      <KeyWithCopy value={objectKey} />
      {failed && (failed.code === 'live_off'
        ? <p class="note">Looking into objects is off, like the live view: <code>live_view = "off"</code> in <code>[admin]</code>.</p>
        : <Failed error={failed} what="The object" />)}
      {!peek && !failed && <p class="loading">Loading…</p>}
      {peek?.denied && <Refused denied={peek.denied} what="The bucket refuses to read the object" />}
      {peek && !peek.denied && (
        <ol class="peek">
          {peek.lines.map((line, index) => (
            <li key={index}>
              <details open={index === 0}>
                <summary>{summary(line, index)}</summary>
                <Json value={line} label={`Line ${index + 1} as JSON`} />
              </details>
            </li>
          ))}
        </ol>
      )}
      {peek && !peek.denied && <p class="note">{peek.more ? `The first ${plural(peek.lines.length, 'line')}. The object has more.` : peek.lines.length === 1 ? 'This is its only line.' : `All of its ${plural(peek.lines.length, 'line')}.`}</p>}
    </Side>
  )
}

function summary (line: unknown, index: number): string {
  if (typeof line !== 'object' || line == null) return `Line ${index + 1}`
  const { type, event, name, collection } = line as Record<string, unknown>
  const what = [type ?? collection, event ?? name].filter((word) => typeof word === 'string')
  return what.length ? `${index + 1}. ${what.join(': ')}` : `Line ${index + 1}`
}
