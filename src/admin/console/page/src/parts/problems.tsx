// What is wrong, below the header of every view.

import { useState } from 'preact/hooks'
import { dateTime } from '../format'
import type { Problem } from '../problems'
import { Icon } from './icon'
import { Ago, Prose } from './small'

/** Problems that are shown before the reader asks for all. */
const SHOWN = 3

export function Problems ({ found }: { found: Problem[] }) {
  const [all, setAll] = useState(false)
  if (!found.length) return null
  const shown = all ? found : found.slice(0, SHOWN)
  return (
    <section class="problems" aria-labelledby="problems">
      <h2 id="problems" class="sr">Problems</h2>
      <ul>{shown.map((problem) => <One key={problem.key} problem={problem} />)}</ul>
      {found.length > SHOWN && (
        <button type="button" class="link-button" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? 'Show fewer' : `Show all ${found.length}`}
        </button>
      )}
    </section>
  )
}

function One ({ problem: { level, title, what, since_ms, whom } }: { problem: Problem }) {
  return (
    <li class={`problem tone-${level}`}>
      <Icon name={level} size={18} />
      <div>
        <p class="problem-head">
          <b>{title}</b>
          {since_ms != null && <span class="problem-since">since {dateTime(since_ms)} (<Ago at={since_ms} />)</span>}
          {whom.length > 0 && <span class="problem-whom">for {whom.join(', ')}</span>}
        </p>
        <p class="problem-what"><Prose text={what} /></p>
      </div>
    </li>
  )
}
