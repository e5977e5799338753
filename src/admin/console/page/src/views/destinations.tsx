// Destinations: what their functions got, what failed and why.

import { useState } from 'preact/hooks'
import { type Attempt, type Attempts, type ClassCount, type Destination, type Destinations as Answer, type Failure, query } from '../api'
import { destinationState, isOver, lettersLeft, OVER, waiting } from '../destination-state'
import { bytes, count, dateTime, millis, NONE, plural, shellWord } from '../format'
import { Code } from '../parts/copy'
import { Cut } from '../parts/cut'
import { Held } from '../parts/held'
import { Icon, State } from '../parts/icon'
import { Side } from '../parts/side'
import { Ago, Card, Empty, Facts, Failed, Loading, PageHead, Prose, Select } from '../parts/small'
import { RowsNote, Table } from '../parts/table'
import { usePolled } from '../poll'
import { href } from '../route'

const EVERY_MS = 2_000
const LIMIT = 200
const ALL = ''

export function Destinations ({ rest }: { rest: string[] }) {
  const { data, error } = usePolled<Answer>('/api/destinations', EVERY_MS)
  const name = rest[0] ?? data?.destinations[0]?.name
  const one = data?.destinations.find((known) => known.name === name)
  return (
    <>
      <PageHead title="Destinations" lead="Where stored calls go beside the archive: functions, web addresses, other endpoints." />
      {error && data && <Failed error={error} what="The list of destinations" />}
      {!data && <Loading error={error} what="The list of destinations" />}
      {data?.destinations.length === 0 && (
        <Empty title="No destination is configured">
          <p>A <code>[[destination]]</code> in the configuration sends each stored call also to a function of AWS Lambda, or to a web address, while the archive goes on as before:</p>
          <Code text={EXAMPLE} what="the lines of a destination" />
        </Empty>
      )}
      {data && data.destinations.length > 0 && (
        <Card title={plural(data.destinations.length, 'destination')}>
          <Table caption="Destinations" rows={data.destinations} rowKey={(row) => row.name} selected={name ?? null}
            open={(row) => { location.hash = href('destinations', row.name) }} columns={[
              { head: 'Destination', width: 'auto', narrow: 'title', cell: (row) => <a href={href('destinations', row.name)}>{row.name}</a> },
              { head: 'State', width: '25%', cell: (row) => <State {...destinationState(row)} /> },
              { head: 'Waiting', width: '96px', number: true, cell: (row) => count(waiting(row)) },
              { head: 'Dead letters left', width: '140px', number: true, cell: (row) => count(lettersLeft(row)) },
              { head: 'Delivered', width: '112px', number: true, roomy: true, cell: (row) => count(row.succeeded) },
              { head: 'Failed attempts', width: '136px', number: true, roomy: true, cell: (row) => count(sum(row.failed)) },
              { head: 'Kind', width: '80px', roomy: true, cell: (row) => row.kind }
            ]} />
        </Card>
      )}
      {rest[0] && data && !one && <p class="note">There is no destination {rest[0]}: it may have ended.</p>}
      {one && <Functions one={one} />}
      {one && <Deliveries key={one.name} one={one} />}
    </>
  )
}

const EXAMPLE = `[[destination]]
name = "crm"
type = "lambda"
function = "arn:aws:lambda:eu-west-1:111122223333:function:on-call"
role_arn = "arn:aws:iam::111122223333:role/forebay-invoke"`

const sum = (counts: ClassCount[]) => counts.reduce((all, one) => all + one.count, 0)

function Functions ({ one }: { one: Destination }) {
  return (
    <Card title={`Functions of ${one.name}`}>
      <Table caption={`Functions of ${one.name}`} rows={one.functions} rowKey={(row) => row.function} columns={[
        { head: 'Function', width: 'auto', narrow: 'title', cell: (row) => <Cut text={row.function} /> },
        { head: 'Types', width: '20%', cell: (row) => row.types.join(', ') || 'all others' },
        { head: 'In flight', width: '88px', number: true, cell: (row) => count(row.in_flight) },
        { head: 'Waiting', width: '88px', number: true, cell: (row) => count(row.waiting) },
        { head: 'Queued', width: '88px', number: true, roomy: true, cell: (row) => row.queued_bytes > 0 ? bytes(row.queued_bytes) : NONE },
        { head: 'Oldest', width: '104px', roomy: true, cell: (row) => row.oldest_ms == null ? NONE : <Ago at={row.oldest_ms} /> }
      ]} />
      {one.functions.map((each) => each.failing && <WhyFailing key={each.function} failure={each.failing} since={each.open_since_ms ?? each.failing.since_ms} open={each.open_since_ms != null} over={isOver(one, each)} />)}
      {one.dead_stored > 0 && <DeadLetters one={one} />}
    </Card>
  )
}

function DeadLetters ({ one }: { one: Destination }) {
  const [left, sent] = [lettersLeft(one), one.dead_sent_again]
  const config = one.config ? ` --config ${shellWord(one.config)}` : ''
  const causes = one.dead.map((each) => `${count(each.count)} ${each.shown}`).join(', ')
  return (
    <>
      <h3>Dead letters</h3>
      <p class="note">
        {count(one.dead_stored)} in all{causes && ` (since the start: ${causes})`}, in the bucket below <code>segment-logs/_dlq/{one.name}/</code>.{' '}
        <b>{!one.dead_unknown ? left === 0 ? 'All sent again' : `${count(sent)} sent again, ${count(left)} left` : sent === 0 ? 'How many were sent again is not known' : `At least ${count(sent)} sent again`}.</b>
        {one.dead_unknown && <>{' '}<Prose text={one.dead_unknown} />.</>}
      </p>
      {left > 0 && !one.removed && <>
        <p class="note">To send {sent > 0 || one.dead_unknown ? 'the rest' : 'them'} again, once the cause is fixed:</p>
        <Code text={`forebay destinations replay ${shellWord(one.name)} --from DLQ${config}`} what="the command that sends dead letters again" />
      </>}
    </>
  )
}

/** `over`: nothing waits any more, so nobody has to act. */
function WhyFailing ({ failure, since, open, over }: { failure: Failure; since: number | null; open: boolean; over: boolean }) {
  if (over) {
    return (
      <p class="note over-note">
        <Icon name="notice" />
        <span>{OVER}: {failure.shown}{since != null && <>, <Ago at={since} /></>}{failure.what && <>: <Prose text={failure.what} /></>}. If it fails again: <Prose text={failure.remedy} />.</span>
      </p>
    )
  }
  return (
    <p class="source-why tone-problem">
      <Icon name="problem" />
      <span>
        <b>{failure.shown}</b>{since != null && <> since <Ago at={since} /></>}{failure.what && <>: <Prose text={failure.what} /></>}.{' '}
        {open && 'It gets a call only now and then until one is taken. '}To do: <Prose text={failure.remedy} />.
      </span>
    </p>
  )
}

function Deliveries ({ one }: { one: Destination }) {
  const [wanted, setWanted] = useState(ALL)
  const { data, error } = usePolled<Attempts>(`/api/destinations/${encodeURIComponent(one.name)}/deliveries${query({ limit: LIMIT, ...(wanted && { class: wanted }) })}`, EVERY_MS)
  // It stays open when it has left the list.
  const [shown, setOpened] = useState<Attempt | null>(null)
  const rows = data?.attempts ?? []
  const choices = [{ value: ALL, label: 'all' }, { value: 'success', label: 'delivered' }, ...one.failed.map((each) => ({ value: each.class, label: each.shown }))]
  return (
    <Card title={`Last deliveries to ${one.name}`} actions={<Select label="Show" value={wanted} choices={choices} change={setWanted} />}>
      {!data && <Loading error={error} what="The list of deliveries" />}
      {error && data && <Failed error={error} what="The list of deliveries" />}
      {data && rows.length === 0 && <Empty title={wanted ? 'None of the last deliveries ended so' : 'Nothing was sent since the start'} />}
      {rows.length > 0 && (
        <div class={shown ? 'with-side' : undefined}>
          <Held key={wanted} latest={rows} rowKey={idOf} one="delivery" many="deliveries" reading={shown != null}>{(rows) => <Table caption="Deliveries, newest first" inPlace rows={rows} rowKey={idOf} selected={shown && idOf(shown)} open={setOpened} columns={[
            { head: 'Call', width: 'auto', narrow: 'title', cell: (row) => <button type="button" class="row-button" onClick={() => setOpened(row)}><Cut text={row.message_id} /></button> },
            { head: 'Result', width: '24%', cell: (row) => <Result one={row} /> },
            { head: 'Type', width: '88px', cell: (row) => row.type },
            { head: 'Source', width: '14%', roomy: true, cell: (row) => row.source },
            { head: 'Attempt', width: '80px', number: true, roomy: true, cell: (row) => count(row.attempt) },
            { head: 'Took', width: '88px', number: true, roomy: true, cell: (row) => millis(row.millis) },
            { head: 'When', width: '104px', cell: (row) => <Ago at={row.at_ms} /> }
          ]} />}</Held>
          {shown && <Detail key={idOf(shown)} one={shown} masked={data?.masked ?? false} close={() => setOpened(null)} />}
        </div>
      )}
      <RowsNote total={rows.length} what="deliveries" />
    </Card>
  )
}

const idOf = (row: Attempt) => `${row.message_id} ${row.function} ${row.attempt} ${row.at_ms}`

function Result ({ one }: { one: Attempt }) {
  return one.failed
    ? <State icon="problem" tone="problem" word={one.failed.shown} title={one.failed.what} />
    : <State icon="well" tone="well" word="delivered" />
}

function Detail ({ one, masked, close }: { one: Attempt; masked: boolean; close: () => void }) {
  return (
    <Side label="The delivery" title={<>{one.type} of <a href={href('sources', one.source)}>{one.source}</a></>} close={close}>
      <Facts facts={[
        ['Result', <Result one={one} />],
        ['messageId', <span class="mono wrap">{one.message_id}</span>],
        ['Function', <span class="mono wrap">{one.function}</span>],
        ['Ended', dateTime(one.at_ms)],
        ['Took', millis(one.millis)],
        ['Attempt', count(one.attempt)],
        one.request_id != null && ['Request id', <span class="mono wrap">{one.request_id}</span>],
        one.version != null && ['Version', one.version]
      ]} />
      {one.failed && <p class="source-why tone-problem"><Icon name="problem" /><span>{one.failed.what ? <Prose text={one.failed.what} /> : one.failed.shown}</span></p>}
      {one.failed && <p class="note">To do: <Prose text={one.failed.remedy} />.</p>}
      {one.log_tail && <><h4>The end of the function's log</h4><pre class="log-tail" tabIndex={0}>{one.log_tail}</pre></>}
      {masked && <p class="quiet">Error texts and logs of functions are hidden, because they may hold personal data: <code>live_view = "full"</code> shows them.</p>}
    </Side>
  )
}
