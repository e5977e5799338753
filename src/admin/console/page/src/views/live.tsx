// Live: calls as they arrive.

import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { type LiveCall, query, type RefusedGroup, type Sdks } from '../api'
import { type Connection, listen } from '../events'
import { bytes, clockMillis, count, exactBytes, exactTime, plural, rate, seconds } from '../format'
import { add, callKey, EMPTY, LIST_MAX, type LiveList, release } from '../live-list'
import { useNode } from '../node'
import { CallType, nameOf } from '../parts/call'
import { Code } from '../parts/copy'
import { Icon, State } from '../parts/icon'
import { Empty, Filter, PageHead, Select, SourcePicker } from '../parts/small'
import { type Column, Table } from '../parts/table'
import { useKeys, usePolled, useSettled, useVisible } from '../poll'
import { addRefused } from '../refused-list'
import { ALL_SOURCES, href, REFUSED } from '../route'
import { CallDetail } from './live-detail'
import { FindCall } from './live-find'
import { RefusedLately, RefusedRequests } from './live-refused'

const TYPES = ['track', 'identify', 'page', 'screen', 'group', 'alias', 'object', 'rejected', REFUSED]
const TYPING_MS = 300

type Count = { stored: number; rejected: number; shown: number }

export function Live ({ rest }: { rest: string[] }) {
  const { session } = useNode()
  return session.live_view === 'off' ? <LiveOff /> : <LiveView rest={rest} />
}

function LiveOff () {
  return (
    <>
      <PageHead title="Live" />
      <Empty title="The live view is off on this node">
        <p>To see calls as they arrive, set <code>live_view = "masked"</code> or <code>"full"</code> in the section <code>[admin]</code> of the configuration and save it. <code>"masked"</code> hides user ids, traits and IP addresses.</p>
      </Empty>
    </>
  )
}

function LiveView ({ rest }: { rest: string[] }) {
  const { session, status } = useNode()
  const [linked, linkedType] = [rest[0] === ALL_SOURCES ? '' : rest[0] ?? '', rest[1] === REFUSED ? REFUSED : '']
  const [source, setSource] = useState(linked)
  const [type, chooseType] = useState(linkedType)
  // A link also leads here from here.
  useEffect(() => {
    setSource(linked)
    chooseType(linkedType)
  }, [rest])
  const setType = (chosen: string) => {
    chooseType(chosen)
    // The address no longer says what is shown, and its link works again.
    if (linkedType) history.replaceState(null, '', href('live'))
  }
  const [typed, setTyped] = useState('')
  const text = useSettled(typed.trim(), TYPING_MS)
  const [paused, setPaused] = useState(false)
  const [reading, setReading] = useState(false)
  const live = useLive(source, type, text, paused || reading, session.live_view === 'masked' ? 'masked' : 'full')
  const [opened, setOpened] = useState<LiveCall | null>(null)
  const [finding, setFinding] = useState(false)
  const box = useRef<HTMLDivElement>(null)
  const ids = useMemo(() => (status?.sources ?? []).map(({ id }) => id).sort(), [status])

  const { rows } = live.list
  const openedAt = opened ? rows.findIndex((row) => callKey(row) === callKey(opened)) : -1
  const focusRow = (index: number) => box.current?.querySelectorAll<HTMLElement>('.row-button')[index]?.focus()
  const step = (by: number) => (event: KeyboardEvent) => {
    // Arrow keys scroll the detail while it has the focus.
    if (!rows.length || (event.target as HTMLElement).closest('.detail')) return
    event.preventDefault()
    const buttons = [...box.current?.querySelectorAll<HTMLElement>('.row-button') ?? []]
    const focused = buttons.indexOf(document.activeElement as HTMLElement)
    const from = focused >= 0 ? focused : openedAt
    const next = Math.min(rows.length - 1, Math.max(0, from + by))
    focusRow(next)
    if (opened) setOpened(rows[next]!)
  }
  const close = () => {
    if (!opened) return
    setOpened(null)
    if (openedAt >= 0) focusRow(openedAt)
  }
  useKeys({ j: step(1), ArrowDown: step(1), k: step(-1), ArrowUp: step(-1), Escape: close })

  const showHeld = () => {
    live.release()
    box.current?.querySelector('.table-box')?.scrollTo(0, 0)
  }
  const resume = () => {
    setPaused(!paused)
    if (paused) showHeld()
  }
  const filtered = source !== '' || type !== '' || text !== ''

  return (
    <div class="live">
      <PageHead title="Live">
        <button type="button" aria-expanded={finding} onClick={() => setFinding(!finding)}>Find a call</button>
        <button type="button" class="pause-button" aria-pressed={paused} onClick={resume}>
          <Icon name={paused ? 'play' : 'pause'} size={14} />{paused ? 'Resume' : 'Pause'}
        </button>
      </PageHead>
      <div class="toolbar" role="search" aria-label="Filter the live calls">
        <SourcePicker value={source} ids={ids} change={setSource} />
        <Select label="Type" value={type} change={setType}
          choices={[{ value: '', label: 'All types' }, ...TYPES.map((one) => ({ value: one, label: one }))]} />
        <Filter label="Text" value={typed} placeholder="Anywhere in the call" change={setTyped} />
      </div>
      {finding && <FindCall source={source} close={() => setFinding(false)} />}
      <div class="live-status">
        <StreamState connection={live.connection} paused={paused} reading={reading && live.list.held_count > 0} />
        <Rates counted={live.counted} filtered={filtered} />
        {live.missed > 0 && <span class="tone-notice"><Icon name="notice" size={14} /> {plural(live.missed, 'call')} left out: more came than this page could read</span>}
        {live.view === 'masked' && (
          <span class="masked-note">Personal values are hidden. To show them, set <code>live_view = "full"</code> in <code>[admin]</code>.</span>
        )}
      </div>
      {type !== REFUSED && <RefusedLately groups={live.refused} show={() => setType(REFUSED)} />}
      <div class={opened ? 'live-body with-detail' : 'live-body'}>
        <div class="live-list" ref={box}>
          {live.list.held_count > 0 && (
            <button type="button" class="pill" onClick={showHeld}>
              <Icon name="up" size={14} />{count(live.list.held_count)} new {live.list.held_count === 1 ? 'call' : 'calls'}
            </button>
          )}
          {type === REFUSED
            ? <RefusedRequests groups={live.refused} filtered={source !== '' || text !== ''} />
            : rows.length
            ? <Rows rows={rows} opened={opened} open={setOpened} reading={setReading} />
            : <Nothing filtered={filtered} open={live.connection.state === 'open'} source={source} dev={session.dev} />}
        </div>
        {opened && <CallDetail key={callKey(opened)} call={opened} view={live.view} close={close} />}
      </div>
    </div>
  )
}

/** The stream of calls while the page is visible, and what came with it. */
function useLive (source: string, type: string, text: string, hold: boolean, expected: 'full' | 'masked') {
  const [list, setList] = useState<LiveList>(EMPTY)
  const [connection, setConnection] = useState<Connection>({ state: 'connecting' })
  const [counted, setCounted] = useState<Count | null>(null)
  const [missed, setMissed] = useState(0)
  const [refused, setRefused] = useState<RefusedGroup[]>([])
  const [view, setView] = useState(expected)
  const holding = useRef(hold)
  holding.current = hold
  const visible = useVisible()

  useEffect(() => {
    setList(EMPTY)
    setRefused([])
    setMissed(0)
  }, [source, type, text])

  useEffect(() => {
    if (!visible) return
    const event = (name: string, data: unknown) => {
      if (name === 'hello') setView((data as { view: 'full' | 'masked' }).view)
      if (name === 'calls') setList((old) => add(old, (data as { calls: LiveCall[] }).calls, holding.current))
      if (name === 'refused') setRefused((old) => addRefused(old, (data as { groups: RefusedGroup[] }).groups))
      if (name === 'count') setCounted(data as Count)
      if (name === 'missed') setMissed((old) => old + (data as { calls: number }).calls)
    }
    const changed = (now: Connection) => {
      setConnection(now)
      if (now.state !== 'open') setCounted(null)
    }
    const stream = listen(`/api/live${query({ source, type, text })}`, { event, connection: changed })
    return stream.stop
  }, [source, type, text, visible])

  // Calls that were held back appear when the reader leaves the list; a pause ends with its button.
  useEffect(() => { if (!hold) setList(release) }, [hold])

  return { list, connection, counted, missed, refused, view, release: useCallback(() => setList(release), []) }
}

function StreamState ({ connection, paused, reading }: { connection: Connection; paused: boolean; reading: boolean }) {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    if (connection.state !== 'retrying') return
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [connection])
  if (connection.state === 'connecting') return <State icon="busy" tone="quiet" word="Connecting…" />
  if (connection.state === 'retrying') {
    const { why, at_ms } = connection
    const what = why.code === 'too_many_viewers' ? 'Too many viewers watch this node' : why.status ? why.message : 'Disconnected'
    return <State icon="notice" tone="notice" word={`${what}. Next try in ${seconds(Math.max(0, Math.ceil((at_ms - now) / 1_000)))}`} />
  }
  if (paused) return <State icon="pause" tone="notice" word="Paused" />
  return reading
    ? <State icon="pause" tone="quiet" word="Held while you read" title="New calls appear when the pointer and the focus leave the list and it is scrolled to the top." />
    : <State icon="live" tone="well" word="Live" />
}

/** The calls that the node takes, and whether the list is a sample of them. */
function Rates ({ counted, filtered }: { counted: Count | null; filtered: boolean }) {
  if (!counted) return <span class="rates quiet">…</span>
  const taken = counted.stored + counted.rejected
  if (taken === 0) return <span class="rates quiet">No calls now</span>
  const sampled = taken > counted.shown
  const what = filtered ? 'searched' : 'shown'
  const all = sampled ? `Sampled: ${rate(counted.shown)} of ${rate(taken)} calls/s ${what}` : `${rate(taken)} calls/s, all ${what}`
  const rejected = counted.rejected > 0 ? `, ${rate(counted.rejected)}/s rejected` : ''
  return <span class="rates" title={all + rejected}>{sampled ? <b>{all}</b> : all}{rejected}</span>
}

function Rows ({ rows, opened, open, reading }: {
  rows: LiveCall[]; opened: LiveCall | null; open: (call: LiveCall) => void; reading: (yes: boolean) => void
}) {
  const box = useRef<HTMLDivElement>(null)
  const on = useRef({ hover: false, focus: false, scrolled: false })
  const set = (change: Partial<typeof on.current>) => {
    Object.assign(on.current, change)
    reading(on.current.hover || on.current.focus || on.current.scrolled)
  }
  useEffect(() => {
    const scroller = box.current?.querySelector('.table-box')
    const scrolled = () => set({ scrolled: (scroller?.scrollTop ?? 0) > 8 })
    scroller?.addEventListener('scroll', scrolled, { passive: true })
    return () => {
      scroller?.removeEventListener('scroll', scrolled)
      reading(false)
    }
  }, [])
  const mouse = (hover: boolean) => (event: PointerEvent) => { if (event.pointerType === 'mouse') set({ hover }) }

  const columns: Column<LiveCall>[] = [
    { head: 'Time', width: '118px', cell: ({ at_ms }) => <time class="mono" title={exactTime(at_ms)}>{clockMillis(at_ms)}</time> },
    { head: 'Type', width: '104px', cell: (call) => <CallType call={call} /> },
    {
      head: 'Name',
      width: 'auto',
      narrow: 'title',
      cell: (call) => (
        <button type="button" class="row-button" onClick={() => open(call)}>
          {call.repeated && <span class="label repeat">repeat</span>}
          {call.stream === 'rejected' ? call.reason_text ?? call.reason ?? 'rejected' : nameOf(call) ?? <span class="quiet"><span aria-hidden="true">–</span><span class="sr">{call.type} without a name</span></span>}
        </button>
      )
    },
    { head: 'Source', width: '17%', roomy: true, cell: ({ source }) => <span title={source}>{source}</span> },
    { head: 'User', width: '19%', roomy: true, cell: ({ user }) => <span class="mono" title={user ?? undefined}>{user ?? '–'}</span> },
    { head: 'Size', width: '76px', number: true, cell: ({ bytes: size }) => <span title={exactBytes(size)}>{bytes(size)}</span> }
  ]
  return (
    <div class="live-rows" ref={box} onPointerEnter={mouse(true)} onPointerLeave={mouse(false)}
      onFocusIn={() => set({ focus: true })} onFocusOut={() => set({ focus: false })}>
      <Table class="live-table" caption={`The last calls, newest first, at most ${LIST_MAX}`} columns={columns} rows={rows} max={LIST_MAX} rowKey={callKey}
        open={open} selected={opened && callKey(opened)} />
    </div>
  )
}

/** How to send a first call. */
function Nothing ({ filtered, open, source, dev }: { filtered: boolean; open: boolean; source: string; dev: boolean }) {
  const sdks = usePolled<Sdks>(filtered ? null : '/api/sdks', 60_000)
  if (!open) return <Empty title="Waiting for the stream of calls" />
  if (filtered) {
    return <Empty title="No call fits the filter yet"><p>The text is searched in what is shown of the call, in upper and lower case. Calls that arrive now and fit appear here.</p></Empty>
  }
  const address = sdks.data?.address ?? 'http://127.0.0.1:8080'
  const key = dev ? source || 'my-app' : '"$WRITE_KEY"'
  const curl = `curl -u ${key}: ${address}/v1/track \\\n  -d '{"userId":"u1","event":"Hello","properties":{"n":1}}'`
  return (
    <Empty title="No calls yet. Send the first one:">
      <Code text={curl} what="the command that sends a call" />
      <p>{dev
        ? 'In dev mode any write key works and becomes a source of its own.'
        : <>Set <code>WRITE_KEY</code> to a write key of a source first. The answer comes when the call is on disk.</>}{' '}
        The call appears here at once, and under Deliveries when its object is in the bucket. To point an SDK here, open <a href="#/sources">Sources</a>.</p>
    </Empty>
  )
}
