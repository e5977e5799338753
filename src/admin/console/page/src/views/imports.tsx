// Imports: what each one did, what waits, what was rejected and why.

import { useState } from 'preact/hooks'
import { type Import, type Imports as Answer, query } from '../api'
import { count, dateTime, millis, NONE, plural, seconds, sentence } from '../format'
import { filesOf, settledRows, settledWords } from '../import-state'
import { useNode, useNow } from '../node'
import { Code } from '../parts/copy'
import { Cut } from '../parts/cut'
import { Icon, type IconName, State } from '../parts/icon'
import { Side } from '../parts/side'
import { Ago, Card, Empty, Facts, Failed, Filter, Loading, PageHead, Prose } from '../parts/small'
import { RowsNote, Table } from '../parts/table'
import { usePolled } from '../poll'
import { retryCommand } from '../retry'
import { href } from '../route'
import { BucketImports, RetryRejects } from './bucket-imports'

const EVERY_MS = 3_000
const LIMIT = 200

const STATES: Record<string, { icon: IconName; tone: 'well' | 'notice' | 'problem' | 'quiet'; word: string }> = {
  running: { icon: 'busy', tone: 'quiet', word: 'running' },
  stopped: { icon: 'notice', tone: 'notice', word: 'stopped' },
  done: { icon: 'well', tone: 'well', word: 'done' },
  failed: { icon: 'problem', tone: 'problem', word: 'failed' },
  given_up: { icon: 'problem', tone: 'problem', word: 'given up' },
  changed: { icon: 'problem', tone: 'problem', word: 'changed' },
  replaced: { icon: 'quiet', tone: 'quiet', word: 'replaced' },
  gone: { icon: 'problem', tone: 'problem', word: 'gone' }
}

function StateOf ({ one }: { one: Import }) {
  if (one.state === 'done' && one.rejected > 0) {
    const title = `Done, but ${plural(one.rejected, 'row is', 'rows are')} rejected`
    return <State icon="notice" tone="notice" word="rows rejected" title={title} />
  }
  const known = STATES[one.state] ?? { icon: 'quiet' as const, tone: 'quiet' as const, word: one.state.replaceAll('_', ' ') }
  return <State {...known} title={one.why} />
}

export function Imports () {
  const { data, error } = usePolled<Answer>(`/api/imports${query({ limit: LIMIT })}`, EVERY_MS)
  const now = useNow()
  const buckets = useNode().status?.imports ?? []
  const [text, setText] = useState('')
  const [opened, setOpened] = useState<string | null>(null)
  const wanted = text.trim().toLowerCase()
  const rows = (data?.imports ?? []).filter(({ what, source, state }) => `${what} ${source} ${state}`.toLowerCase().includes(wanted))
  const shown = rows.find(({ id }) => id === opened)
  const problems = (one: Import) => one.refused + one.rejected
  return (
    <>
      <PageHead title="Imports" lead="Files whose rows become calls, each row exactly once." />
      {error && data && <Failed error={error} what="The list of imports" />}
      {!data && <Loading error={error} what="The list of imports" />}
      {data?.problem && <p class="failed" role="status"><Icon name="notice" /><span><b>The journal of imports cannot be read.</b> {sentence(data.problem)}</span></p>}
      {data?.loading && <p class="note">The journal is still being read; some imports may be missing.</p>}
      {buckets.length > 0 && <BucketImports imports={buckets} files={data?.imports ?? []} />}
      {data?.imports.length === 0 && buckets.length === 0 && (
        <Empty title="Nothing was imported yet">
          <p>Calls that exist as CSV files come in with one command. It can be stopped at any moment and continues at the next row:</p>
          <Code text="forebay import csv --source my-app track_orders.csv" what="the command that imports" />
          <p>The name of the file says what its rows become: <code>track_…</code>, <code>identify_…</code>, <code>object_…</code>. Files that arrive in a bucket come in with <code>[[import]]</code> in the configuration, or by a function of AWS Lambda, <code>forebay lambda</code>.</p>
        </Empty>
      )}
      {data && data.imports.length > 0 && <>
        <div class="toolbar"><Filter label="Filter" value={text} placeholder="File, source or state" change={setText} /></div>
        <Card title={plural(data.total, 'import')}>
          {rows.length
            ? <div class={shown ? 'with-side' : undefined}>
                <Table caption="Imports, newest first" rows={rows} rowKey={({ id }) => id} selected={opened} open={({ id }) => setOpened(id)} columns={[
                  { head: 'File', width: 'auto', least: 300, narrow: 'title', cell: (one) => <button type="button" class="row-button" onClick={() => setOpened(one.id)}><Cut text={one.what} /></button> },
                  { head: 'State', width: '146px', cell: (one) => <StateOf one={one} /> },
                  { head: 'Source', width: '12%', roomy: true, cell: (one) => <span title={one.source}>{one.source}</span> },
                  { head: 'Rows read', width: '92px', number: true, roomy: true, cell: (one) => count(one.rows_read) },
                  { head: 'Stored', width: '92px', number: true, cell: (one) => count(one.stored) },
                  { head: 'Repeated', width: '88px', number: true, roomy: true, cell: (one) => count(one.repeated) },
                  { head: 'Rejected', width: '88px', number: true, cell: (one) => <span title={settledRows(one) > 0 ? settledWords(one) : undefined}>{count(problems(one))}{settledRows(one) > 0 && <span class="quiet"> of {count(problems(one) + settledRows(one))}</span>}</span> },
                  { head: 'Began', width: '92px', roomy: true, cell: (one) => <Ago at={one.begun_ms} /> },
                  { head: 'Took', width: '92px', number: true, roomy: true, cell: (one) => lasted(one, now) }
                ]} />
                {shown && <Detail key={shown.id} one={shown} now={now} close={() => setOpened(null)} />}
              </div>
            : <Empty title="No import fits the filter" />}
          <RowsNote total={rows.length} what="imports" />
          {data.total > data.imports.length && <p class="note">The newest {count(data.imports.length)} of {count(data.total)} are listed.</p>}
        </Card>
      </>}
    </>
  )
}

/** How long the import took, or has taken so far. Nobody knows when a stopped import stopped. */
function lasted ({ state, begun_ms, ended_ms }: Import, now: number): string {
  if (state === 'stopped') return NONE
  return ended_ms == null ? seconds((now - begun_ms) / 1_000) : millis(ended_ms - begun_ms)
}

function Detail ({ one, now, close }: { one: Import; now: number; close: () => void }) {
  const buckets = useNode().status?.imports ?? []
  // Once no row is left, nothing has to be done about those that were rejected.
  const isSettled = one.state === 'done' && one.rejected === 0
  const [settled, byCommand] = [settledRows(one), (one.sent_again ?? 0) > 0]
  const left = one.rejected ? `${count(one.rejected)} left` : 'none is left'
  const reader = one.rejected > 0 ? buckets.find((each) => filesOf(each, [one], buckets).length > 0) : undefined
  return (
    <Side label="The import" title={<>Import into <a href={href('sources', one.source)}>{one.source}</a></>} close={close}>
      <Facts facts={[
        ['File', <span class="mono wrap">{one.what}</span>],
        ['State', <StateOf one={one} />],
        ['Began', dateTime(one.begun_ms)],
        one.state !== 'stopped' && [one.ended_ms == null ? 'Running for' : 'Took', lasted(one, now)],
        ['Rows read', count(one.rows_read)],
        ['Stored', count(one.stored)],
        ['Repeated', `${count(one.repeated)} (were stored before)`],
        ['Refused', `${count(one.refused)} (not valid calls; in the rejected stream)`],
        ['Rejected', `${count(one.rejected)} (rows that cannot become calls; in the rejects file)`],
        (one.left_out ?? 0) > 0 && ['Left out', `${plural(one.left_out!, 'row')}, by the converter`],
        settled > 0 && [byCommand ? 'Sent again' : 'Settled', `${plural(settled, 'row')} that ${settled === 1 ? 'was' : 'were'} rejected first${byCommand ? '' : ', and read again since'}; ${left}`],
        (one.accepted ?? 0) > 0 && ['Accepted', `${plural(one.accepted!, 'rejected row')}: a person does without ${one.accepted === 1 ? 'it' : 'them'}`],
        (one.rejected_again ?? 0) > 0 && ['Rejected again', `${plural(one.rejected_again!, 'row')}: the first import has them, and the command for them`],
        !isSettled && one.rejects_file != null && ['Rejects file', <span class="mono wrap">{one.rejects_file}</span>],
        (one.attempts ?? 0) > 0 && ['Failures', `${count(one.attempts)} in a row`],
        ['Import id', <span class="mono wrap">{one.id}</span>]
      ]} />
      {one.why && <p class="source-why tone-problem"><Icon name="problem" /><span><Prose text={one.why} /></span></p>}
      {one.next && !(reader && one.state === 'done') && <p class="note"><Prose text={one.next} />.</p>}
      {!isSettled && one.errors.length > 0 && <>
        <h4>Why rows were rejected{settled > 0 && ' at first'}</h4>
        <ul class="errors">
          {one.errors.map(({ code, count: n, example, not_stored: again }) => (
            <li key={code + (again ? ' again' : '')}><code>{code}</code> <b>{plural(n, 'row')}</b>{again && ' of the step that was not stored'}{example && <p class="quiet">{example}</p>}</li>
          ))}
        </ul>
      </>}
      {one.retry && <>
        <h4>Send the rejected rows again</h4>
        <p class="quiet">Correct <code>raw</code> of each row in the rejects file, on the machine that ran the import. Then, there:</p>
        <Code text={retryCommand(one.retry, location.origin)} what="the command that imports the corrected rows" />
      </>}
      {reader && <RetryRejects name={reader.name} />}
    </Side>
  )
}
