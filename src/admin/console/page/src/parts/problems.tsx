// What is wrong, below the header of every view.

import { useEffect, useState } from 'preact/hooks'
import { dateTime } from '../format'
import type { Problem } from '../problems'
import { Icon } from './icon'
import { Ago, Prose } from './small'

/** Problems that are shown before the reader asks for all: on a small screen two would cover half of it. */
const SHOWN = 3
const SHOWN_NARROW = 1
const NARROW = '(max-width: 800px)'

function useNarrow (): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches)
  useEffect(() => {
    const media = matchMedia(NARROW)
    const changed = () => setNarrow(media.matches)
    media.addEventListener('change', changed)
    return () => media.removeEventListener('change', changed)
  }, [])
  return narrow
}

export function Problems ({ found }: { found: Problem[] }) {
  const [all, setAll] = useState(false)
  const most = useNarrow() ? SHOWN_NARROW : SHOWN
  if (!found.length) return null
  const shown = all ? found : found.slice(0, most)
  return (
    <section class="problems" aria-labelledby="problems">
      <h2 id="problems" class="sr">Problems</h2>
      <ul>{shown.map((problem) => <One key={problem.key} problem={problem} />)}</ul>
      {found.length > most && (
        <button type="button" class="link-button" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? 'Show fewer' : `Show ${found.length - most} more`}
        </button>
      )}
    </section>
  )
}

function One ({ problem: { level, title, what, since_ms, whom, at } }: { problem: Problem }) {
  return (
    <li class={`problem tone-${level}`}>
      <Icon name={level} size={18} />
      <div>
        <p class="problem-head">
          <b>{title}</b>
          {since_ms != null && <span class="problem-since">since {dateTime(since_ms)} (<Ago at={since_ms} />)</span>}
          {whom.length > 0 && <span class="problem-whom">for {whom.join(', ')}</span>}
          <a class="problem-link" href={at.href}>Open {at.name}</a>
        </p>
        <p class="problem-what"><Prose text={what} /></p>
      </div>
    </li>
  )
}
