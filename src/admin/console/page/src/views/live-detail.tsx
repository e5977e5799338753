// One live call: what is known of it, and its line.

import { useEffect, useRef } from 'preact/hooks'
import type { LiveCall } from '../api'
import { bytes, clockMillis, date, exactBytes, exactTime, plural, stream } from '../format'
import { jsonText } from '../exact'
import { CallType, nameOf } from '../parts/call'
import { CopyButton } from '../parts/copy'
import { Icon } from '../parts/icon'
import { Json } from '../parts/json'
import { type Fact, Facts } from '../parts/small'
import { href } from '../route'

/** Below this width the detail covers the list and takes the focus. */
const COVERS = '(max-width: 800px)'

export function CallDetail ({ call, view, close }: { call: LiveCall; view: 'full' | 'masked'; close: () => void }) {
  const panel = useRef<HTMLElement>(null)
  useEffect(() => { if (matchMedia(COVERS).matches) panel.current?.focus() }, [])
  const facts: (Fact | false)[] = [
    ['Received', <time title={exactTime(call.at_ms)}>{date(call.at_ms)} {clockMillis(call.at_ms)}</time>],
    ['Source', <a href={href('sources', call.source)}>{call.source}</a>],
    ['Size', <span title={exactBytes(call.bytes)}>{bytes(call.bytes)}</span>],
    call.stream !== 'calls' && ['Stored in', stream(call.stream)],
    call.user != null && ['User', <span class="mono">{call.user}</span>],
    call.library != null && ['SDK', call.library]
  ]
  const marked = call.added.length + call.changed.length > 0
  return (
    <aside class="detail" ref={panel} tabIndex={-1} aria-label="The call">
      <div class="detail-head">
        <CallType call={call} />
        <h2>{nameOf(call) ?? (call.stream === 'rejected' ? 'Rejected item' : 'without a name')}</h2>
        <button type="button" class="quiet-button" onClick={close} aria-label="Close" title="Close (Esc)"><Icon name="close" /></button>
      </div>
      {call.reason && (
        <p class="detail-reason"><Icon name="rejected" /><span><b>Rejected: {call.reason_text ?? call.reason}.</b> The item is kept in the rejected stream of the source (<code>{call.reason}</code>).</span></p>
      )}
      {call.repeated && <p class="note">A repeat: this call was stored before and is not stored again.</p>}
      <Facts facts={facts} />
      <div class="detail-line-head">
        <h3>As stored</h3>
        {call.line != null && <CopyButton text={() => jsonText(call.line)} what="the JSON" />}
      </div>
      {marked && call.line != null && (
        <p class="note">The collector <Marks words={['added', 'changed']} counts={[call.added.length, call.changed.length]} />. All else is as the SDK sent it.</p>
      )}
      {call.line == null
        ? <p class="note">This line is larger than 64 KiB. The live view does not carry it; it is stored whole.</p>
        : <Json value={call.line} added={call.added} changed={call.changed} label="The line as JSON" />}
      {view === 'masked' && <p class="note"><code>"[hidden]"</code> stands for personal values. The stored line has them.</p>}
    </aside>
  )
}

/** "added 2 members and changed 1". */
function Marks ({ words, counts }: { words: string[]; counts: number[] }) {
  const some = words.map((word, index) => ({ word, n: counts[index]! })).filter(({ n }) => n > 0)
  return <>{some.map(({ word, n }, index) => <>{index > 0 && ' and '}<span class={`json-mark inline ${word}`}>{word}</span> {plural(n, 'member')}</>)}</>
}
