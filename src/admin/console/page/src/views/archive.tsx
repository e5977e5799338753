// Archive: days by date, and the page of one day.

import { useMemo, useState } from 'preact/hooks'
import { type Archive as Answer, type ArchiveDay, query } from '../api'
import { bytes, count, date, exactBytes, NONE, plural, stream } from '../format'
import { useNode } from '../node'
import { Code } from '../parts/copy'
import { type IconName, State } from '../parts/icon'
import { Ago, Card, Empty, Failed, Filter, LeftOut, Loading, PageHead, SourcePicker } from '../parts/small'
import { RowsNote, Table } from '../parts/table'
import { usePolled } from '../poll'
import { href } from '../route'
import { DAYS_NAMED_MAX, syncCommands } from '../sync'
import { Day } from './archive-day'

const EVERY_MS = 5_000
const COMMANDS_MAX = 10

export function Archive ({ rest }: { rest: string[] }) {
  const [source, day, streamName] = rest
  return source && day && /^\d+$/.test(day)
    ? <Day key={rest.join('/')} source={source} dayMs={Number(day)} stream={streamName ?? 'calls'} />
    : <Days source={source ?? ''} />
}

const STATES: Record<string, { icon: IconName; tone: 'well' | 'notice' | 'quiet'; word: string; what: string }> = {
  open: { icon: 'busy', tone: 'quiet', word: 'open', what: 'Takes calls until midnight UTC' },
  over: { icon: 'notice', tone: 'notice', word: 'over', what: 'The day has ended and is not closed yet' },
  closed: { icon: 'well', tone: 'well', word: 'closed', what: 'Over, delivered, and marked complete in the bucket' }
}

export function DayState ({ state, why }: { state: string; why: string | null }) {
  const known = STATES[state] ?? { icon: 'quiet' as const, tone: 'quiet' as const, word: state.replaceAll('_', ' '), what: '' }
  return <State icon={known.icon} tone={known.tone} word={known.word} title={why ?? known.what} />
}

function Days ({ source }: { source: string }) {
  const { status, session } = useNode()
  const { data, error } = usePolled<Answer>(`/api/archive${query({ source })}`, EVERY_MS)
  const [text, setText] = useState('')
  const ids = useMemo(() => (status?.sources ?? []).map(({ id }) => id).sort(), [status])
  const rows = (data?.days ?? []).filter((day) => `${day.date} ${day.source} ${stream(day.stream)}`.includes(text.trim()))
  const pick = (id: string) => { location.hash = id ? href('archive', id) : href('archive') }
  const filtered = data && rows.length < data.days.length
  const commands = data ? syncCommands(rows, data.days, data.places, session.dev, source) : []
  return (
    <>
      <PageHead title="Archive" lead={<>Received-days (UTC) with what this node delivered, for {data?.kept_days ?? NONE} days.</>} />
      <div class="toolbar">
        <SourcePicker value={source} ids={ids} change={pick} />
        <Filter label="Filter" value={text} placeholder="Date or stream, such as 2026-11" change={setText} />
      </div>
      {error && data && <Failed error={error} what="The list of days" />}
      <LeftOut missing={data?.missing} />
      {!data && <Loading error={error} what="The list of days" />}
      {data && (rows.length
        ? <Card title={source ? `Days of ${source}` : 'Days'} actions={data.listed_since_ms != null && <span class="quiet">listed since {date(data.listed_since_ms)}</span>}>
            <Table caption="Days, newest first" rows={rows} rowKey={(day) => `${day.source} ${day.day_ms} ${day.stream}`}
              open={(day) => { location.hash = hrefOf(day) }} columns={[
                { head: 'Day', width: '120px', narrow: 'title', cell: (day) => <a class="row-link" href={hrefOf(day)}>{day.date}</a> },
                { head: 'Source', width: 'auto', cell: (day) => <span title={day.source}>{day.source}</span> },
                { head: 'Stream', width: '16%', cell: (day) => <span class={day.stream === 'calls' ? 'quiet' : undefined}>{stream(day.stream)}</span> },
                { head: 'State', width: '104px', cell: (day) => <DayState state={day.state} why={day.why} /> },
                { head: 'Objects', width: '84px', number: true, roomy: true, cell: (day) => count(day.objects) },
                { head: 'Calls', width: '112px', number: true, cell: (day) => count(day.calls) },
                { head: 'Size', width: '96px', number: true, roomy: true, cell: (day) => <span title={exactBytes(day.bytes)}>{bytes(day.bytes)}</span> },
                { head: 'Last delivery', width: '112px', roomy: true, cell: (day) => <Ago at={day.last_delivered_at_ms} /> }
              ]} />
            <RowsNote total={rows.length} what="days" />
          </Card>
        : <Empty title={text ? 'No day fits the filter' : 'No day has an object yet'}>
            {!text && <p>The first delivered object makes the first day. Batches become objects by size, by age, or with <b>Flush now</b> under <a href={href('deliveries')}>Deliveries</a>. Objects from before this list began are in the bucket, not here.</p>}
          </Empty>)}
      {commands.length > 0 && (
        <Card title={filtered ? 'Download these days' : source ? 'Download its days' : 'Download everything'}>
          {commands.slice(0, COMMANDS_MAX).map(({ place, command }, index) => command
            ? <Code key={index} text={command} what={`the command that downloads from ${place}`} />
            : <p key={index} class="note">More than {DAYS_NAMED_MAX} days of {place} are shown, too many for one command: choose a source, or filter more.</p>)}
          {commands.length > COMMANDS_MAX && <p class="note">The first {COMMANDS_MAX} of {plural(commands.length, 'command')} are shown. Choose a source, or filter, for the others.</p>}
        </Card>
      )}
    </>
  )
}

const hrefOf = ({ source, day_ms, stream: name }: ArchiveDay) =>
  name === 'calls' ? href('archive', source, day_ms) : href('archive', source, day_ms, name)
