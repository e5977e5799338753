// What is wrong, below the header of every view.

import type { RefObject } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
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

/** Whether the style sheet shows less than all of a text, as it does on a small screen. */
function useCut (box: RefObject<HTMLElement | null>, what: string): boolean {
  const [cut, setCut] = useState(false)
  useLayoutEffect(() => {
    const measure = () => setCut(box.current!.scrollHeight > box.current!.clientHeight + 1)
    measure()
    const sized = new ResizeObserver(measure)
    sized.observe(box.current!)
    return () => sized.disconnect()
  }, [what])
  return cut
}

function One ({ problem: { level, title, what, since_ms, whom, at } }: { problem: Problem }) {
  const [whole, setWhole] = useState(false)
  const text = useRef<HTMLParagraphElement>(null)
  const isCut = useCut(text, what)
  return (
    <li class={`problem tone-${level}`}>
      <Icon name={level} size={18} />
      <div>
        <p class="problem-head">
          <b>{title}</b>
          {since_ms != null && <span class="problem-since">since <span class="wide-only">{dateTime(since_ms)} (</span><Ago at={since_ms} /><span class="wide-only">)</span></span>}
          {whom.length > 0 && <span class="problem-whom">for {whom.join(', ')}</span>}
          <a class="problem-link" href={at.href}>Open {at.name}</a>
        </p>
        <p class={whole ? 'problem-what' : 'problem-what folded'} ref={text}><Prose text={what} /></p>
        {(isCut || whole) && <button type="button" class="link-button problem-more" aria-expanded={whole} onClick={() => setWhole(!whole)}>{whole ? 'Less' : 'More'}</button>}
      </div>
    </li>
  )
}
