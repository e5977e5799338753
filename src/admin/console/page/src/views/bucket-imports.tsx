// The imports of buckets, above the list of files: what their last passes found, and what each waits for.

import { useState } from 'preact/hooks'
import type { BucketImport, Import, Pass } from '../api'
import { count, dateTime, millis, NONE, plural, seconds, sentence, shellWord, until } from '../format'
import { filesOf, importState, settledRows, sum, unfinished } from '../import-state'
import { useNow } from '../node'
import { Code } from '../parts/copy'
import { Cut } from '../parts/cut'
import { State } from '../parts/icon'
import { Side } from '../parts/side'
import { Ago, Bar, Card, Facts } from '../parts/small'
import { RowsNote, Table } from '../parts/table'
import { retryCommand } from '../retry'
import { href } from '../route'
import { AfterImport, QueueMessages, SharedFiles, Wrong } from './bucket-import-more'

/** The files that the detail names; the rest are counted. */
const NAMED_MAX = 20

const SKIPPED: Record<string, string> = {
  own: 'objects of Forebay itself', folder: 'folder markers', foreign: 'not matched by filterPattern', empty: 'empty',
  too_small: 'below min_size', too_large: 'above max_size', archived: 'archived and not restored',
  old: 'stored before modified_after', missing: 'deleted after the listing', changed: 'replaced after their import began'
}

const BECAME: Record<string, string> = {
  failed: 'failed; each pass tries again', poison: 'failed too often', changed: 'changed while being read', missing: 'deleted after the listing',
  denied: 'access denied', refused: 'refused by the store', stopped: 'stopped; the next pass goes on'
}

const done = ({ known, files }: Pass) => known + (files.done ?? 0) + (files.done_before ?? 0)
const wanted = ({ listed, skipped }: Pass) => Math.max(0, listed - sum(skipped))

/** A count of the last pass that listed all keys. */
const shownOf = ({ last, whole }: BucketImport, of: (pass: Pass) => number) => {
  const pass = whole ?? last
  return pass ? count(of(pass)) : NONE
}

/** `files`: the newest files of all imports. */
export function BucketImports ({ imports, files }: { imports: BucketImport[]; files: Import[] }) {
  const now = useNow()
  const [opened, setOpened] = useState<string | null>(null)
  const shown = imports.find(({ name }) => name === opened)
  return (
    <Card title={plural(imports.length, 'import of a bucket', 'imports of buckets')}>
      <div class={shown ? 'with-side' : undefined}>
        <Table caption="Imports of buckets" rows={imports} rowKey={({ name }) => name} selected={opened} open={({ name }) => setOpened(name)} columns={[
          { head: 'Import', width: '18%', narrow: 'title', cell: ({ name }) => <button type="button" class="row-button" onClick={() => setOpened(name)}><Cut text={name} /></button> },
          { head: 'State', width: '20%', cell: (one) => <StateOf one={one} /> },
          { head: 'Bucket', width: 'auto', least: 200, roomy: true, cell: ({ place }) => <Cut text={place} /> },
          { head: 'Source', width: '12%', roomy: true, cell: ({ source }) => <a href={href('sources', source)}>{source}</a> },
          { head: 'Files done', width: '112px', number: true, cell: one => shownOf(one, done) },
          { head: 'Not done', width: '88px', number: true, cell: one => shownOf(one, pass => unfinished(pass) + pass.not_begun) },
          { head: 'Last pass', width: '104px', roomy: true, cell: ({ last }) => last ? <Ago at={last.ended_ms} /> : NONE }
        ]} />
        {shown && <Detail key={shown.name} one={shown} files={filesOf(shown, files, imports)} now={now} close={() => setOpened(null)} />}
      </div>
      <RowsNote total={imports.length} what="imports" />
    </Card>
  )
}

const StateOf = ({ one }: { one: BucketImport }) => <State {...importState(one)} />

const COLUMNS_MAX = 8

/** The columns that no call uses: the first, and how many more. */
function unusedColumns ({ unused_first: first = [], unused_columns: all = 0 }: BucketImport) {
  const shown = first.slice(0, COLUMNS_MAX)
  const more = all - shown.length
  return `${shown.join(', ')}${more > 0 ? ` and ${count(more)} more` : ''}`
}

/** The command that reads the rejected rows of an import of a bucket again. */
export function RetryRejects ({ name }: { name: string }) {
  return (
    <>
      <h4>Send the rejected rows again</h4>
      <p class="quiet">Correct the converter. Then:</p>
      <Code text={retryCommand(`forebay import retry-rejects --import ${shellWord(name)}`, location.origin)} what="the command that reads the rejected rows again" />
    </>
  )
}

function Detail ({ one, files, now, close }: { one: BucketImport; files: Import[]; now: number; close: () => void }) {
  const { last } = one
  const all = (of: (file: Import) => number) => files.reduce((rows, file) => rows + of(file), 0)
  const [left, settled, accepted] = [all(({ rejected }) => rejected), all(settledRows), all(({ accepted = 0 }) => accepted)]
  // Of files that are not listed only the last pass is known.
  const isLeft = left > 0 || (files.length === 0 && (last?.rejected ?? 0) > 0)
  return (
    <Side label="The import" title={<>{one.name} into <a href={href('sources', one.source)}>{one.source}</a></>} close={close}>
      <Facts facts={[
        ['Bucket', <span class="mono wrap">{one.place}</span>],
        ['State', <StateOf one={one} />],
        one.pass_since_ms != null && ['Pass under way', `for ${seconds((now - one.pass_since_ms) / 1_000)}, ${plural(one.pass_rows, 'row')} read`],
        one.pass_since_ms == null && one.enabled && one.next_ms != null && ['Next pass', until(one.next_ms, now)],
        (one.list_requests_hour ?? 0) > 0 && ['Listings', `${plural(one.list_requests_hour!, 'LIST request')} in the last hour`],
        left + settled + accepted > 0 && ['Rejected rows', `${count(left)} left` + (settled > 0 ? `; ${count(settled)} rejected at first only` : '') + (accepted > 0 ? `; ${count(accepted)} accepted` : '')],
        (one.unused_columns ?? 0) > 0 && ['No call uses', <span class="wrap">{unusedColumns(one)}</span>]
      ]} />
      {one.failing && <Wrong text={one.failing} since={one.failing_since_ms} />}
      {one.warnings?.map(warning => <p class="note wrap" key={warning}>{sentence(warning)}</p>)}
      {last && <LastPass title="The last pass" last={last} />}
      {one.whole && <LastPass title="The last pass over all keys" last={one.whole} />}
      <QueueMessages messages={one.notifications} />
      <AfterImport after={last?.after} />
      <SharedFiles name={one.name} claims={(one.whole ?? last)?.claims} problem={last?.claims?.problem} />
      {isLeft && <RetryRejects name={one.name} />}
      <h4>Make a pass now</h4>
      <Code text={`forebay import run ${one.name}`} what="the command that makes a pass" />
    </Side>
  )
}

function LastPass ({ title, last }: { title: string; last: Pass }) {
  const files = wanted(last)
  const skipped = Object.entries(last.skipped).filter(([, n]) => n > 0)
  const others = Object.entries(last.files).filter(([became, n]) => n > 0 && BECAME[became])
  return (
    <>
      <h4>{title}</h4>
      {files > 0 && <Bar name="Files done" part={done(last) / files} words={`${count(done(last))} of ${count(files)}`} />}
      <Facts facts={[
        ['Ended', `${dateTime(last.ended_ms)}, after ${millis(last.ended_ms - last.began_ms)}`],
        ['Listed', `${plural(last.listed, 'object')} in ${plural(last.list_requests, 'request')}`],
        ['Done before', count(last.known)],
        ['Rows read', count(last.rows)],
        ['Stored', plural(last.stored, 'call')],
        last.repeats > 0 && ['Repeats', `${plural(last.repeats, 'row')} dropped, which repeat others`],
        ['Rejected', plural(last.rejected, 'row')],
        last.skipped_rows > 0 && ['Left out', `${plural(last.skipped_rows, 'row')}, by the converter`],
        last.not_begun > 0 && ['Not begun', `${plural(last.not_begun, 'file')}: the next pass goes on with them`]
      ]} />
      {skipped.length > 0 && <>
        <h4>Skipped</h4>
        <ul class="errors">{skipped.map(([why, n]) => <li key={why}><b>{count(n)}</b> {SKIPPED[why] ?? why.replaceAll('_', ' ')}</li>)}</ul>
      </>}
      {others.length > 0 && <>
        <h4>Not done</h4>
        <ul class="errors">{others.map(([became, n]) => <li key={became}><b>{plural(n, 'file')}</b>: {BECAME[became]}</li>)}</ul>
        <ul class="errors">
          {last.not_done.slice(0, NAMED_MAX).map(({ name, became, error }) => (
            <li key={name}><span class="mono wrap">{name}</span><p class="quiet">{error ? sentence(error) : became.replaceAll('_', ' ')}</p></li>
          ))}
        </ul>
        {unfinished(last) > Math.min(NAMED_MAX, last.not_done.length) && <p class="note">The first {Math.min(NAMED_MAX, last.not_done.length)} of {count(unfinished(last))} are named.</p>}
      </>}
    </>
  )
}
