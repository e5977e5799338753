// Finds a recent call: where it is now, or which refused requests may have held it.

import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { type Found, type FoundCall, get, query, Refusal } from '../api'
import { bytes, count, dateTime, plural, until } from '../format'
import { useNow } from '../node'
import { Code } from '../parts/copy'
import { Icon, State } from '../parts/icon'
import { Ago, Card, Facts, Failed, KeyWithCopy, Prose, Select } from '../parts/small'
import { RefusedGroups } from './live-refused'

const BY = [
  { value: 'message_id', label: 'messageId' },
  { value: 'user_id', label: 'userId' },
  { value: 'anonymous_id', label: 'anonymousId' },
  { value: 'event', label: 'Event or page name' }
]
/** The longest value that a node looks for. */
const VALUE_MAX = 1_024

export function FindCall ({ source, close }: { source: string; close: () => void }) {
  const [by, setBy] = useState('user_id')
  const [value, setValue] = useState('')
  const [busy, setBusy] = useState(false)
  const [found, setFound] = useState<Found | null>(null)
  const [failed, setFailed] = useState<Refusal | null>(null)
  const submit = async (event: Event) => {
    event.preventDefault()
    if (busy || value === '') return
    setBusy(true)
    try {
      setFound(await get<Found>(`/api/find${query({ [by]: value, source })}`))
      setFailed(null)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      setFound(null)
      setFailed(error)
    }
    setBusy(false)
  }
  const closing = <button type="button" class="quiet-button" onClick={close} aria-label="Close the search" title="Close"><Icon name="close" /></button>
  return (
    <Card title="Find a call" class="find" actions={closing}>
      <form class="find-form" onSubmit={submit}>
        <Select label="Find by" value={by} choices={BY} change={setBy} />
        <div class="field grow">
          <label for="find-value">Value, exactly as it was sent{source && ` to ${source}`}</label>
          <input id="find-value" value={value} maxLength={VALUE_MAX} autocomplete="off" spellcheck={false}
            onInput={(event) => setValue(event.currentTarget.value)} />
        </div>
        <button type="submit" class="primary" disabled={busy || value === ''}>{busy ? 'Searching…' : 'Find'}</button>
      </form>
      {failed && <Failed error={failed} what="The search" />}
      {found && <Results found={found} />}
    </Card>
  )
}

function Results ({ found }: { found: Found }) {
  const { calls, more, refused, searched, masked } = found
  const { live_calls: live, spool_bytes: spool, objects, object_bytes: size, left_out: leftOut, denied } = searched
  return (
    <div class="find-results" role="region" aria-label="What was found" tabIndex={0}>
      <p role="status">
        <b>{calls.length ? `${plural(calls.length, 'call')} found` : 'No such call was found'}</b>{more && ', and there are more'}.
        {masked && ' Users are hidden.'}
      </p>
      {calls.length > 0 && <ul class="found">{calls.map((call, index) => <Call key={index} call={call} />)}</ul>}
      {!calls.length && refused.length > 0 && (
        <>
          <p>Requests that were refused, and may have held it:</p>
          <RefusedGroups groups={refused} />
        </>
      )}
      <p class="note">Searched: {plural(live, 'call')} in the live view's memory, {bytes(spool)} of lines in the spool, and {plural(objects, 'object')} of the last hour ({bytes(size)}).</p>
      {leftOut.map((what) => <p key={what} class="failed"><Icon name="notice" /><span>Not searched: {what}</span></p>)}
      {denied?.statement && <Code text={denied.statement} what="the statement that lets the node read objects" />}
    </div>
  )
}

function Call ({ call }: { call: FoundCall }) {
  const { type, stream, name, user, source, message_id: id, received_at_ms: at, reason } = call
  return (
    <li>
      <div class="refused-head">
        <h3>{type || stream} {name}</h3>
        <Where call={call} />
      </div>
      <Facts facts={[
        ...placeOf(call),
        ['Source', <span class="mono">{source}</span>],
        ['Received', <><span>{dateTime(at)} UTC, </span><Ago at={at} /></>],
        id != null && ['messageId', <span class="mono">{id}</span>],
        user != null && ['User', <span class="mono">{user}</span>],
        reason != null && ['Rejected', <code>{reason}</code>]
      ]} />
    </li>
  )
}

function Where ({ call }: { call: FoundCall }) {
  switch (call.state) {
    case 'waiting': return <State icon="busy" tone="quiet" word="In the spool" />
    case 'sealed': return <State icon={call.parked ? 'parked' : 'busy'} tone="notice" word="Sealed, not in the store yet" />
    case 'delivered': return <State icon="well" tone="well" word="Delivered" />
    case 'stored': return <State icon="quiet" tone="quiet" word="Stored, and no longer in the spool" />
    case 'repeat': return <State icon="quiet" tone="quiet" word="A repeat, not stored again" />
  }
}

function placeOf (call: FoundCall): [string, ComponentChildren][] {
  const now = useNow()
  switch (call.state) {
    case 'waiting': return [['Batch', `${plural(call.batch_lines, 'line')}, due ${until(call.due_ms, now)}`], ['Position', count(call.position)]]
    case 'sealed': return [['Object', <KeyWithCopy value={call.object} />], ['Line', count(call.line)], ...(call.waiting ? [['Waits', <Prose text={call.waiting} />] as [string, ComponentChildren]] : [])]
    case 'delivered': return [['Object', <KeyWithCopy value={`s3://${call.bucket}/${call.key}`} />], ['Line', count(call.line)], ['Delivered', <Ago at={call.delivered_at_ms} />]]
    case 'stored': return [['Object', 'not among those that were searched, or delivered just now: search again']]
    case 'repeat': return []
  }
}
