// "Flush now": seals and delivers what waits, and shows the result.

import { useState } from 'preact/hooks'
import { type Flushed, query, Refusal, send } from '../api'
import { count, plural, sentence } from '../format'
import { useNode } from '../node'
import { Icon } from './icon'

/** How long the page waits: longer than the node, which waits up to 30 s for the objects. */
const FLUSH_MS = 45_000

type Outcome = { tone: 'well' | 'notice' | 'problem'; text: string }

function outcome ({ sealed, delivered, pending }: Flushed): Outcome {
  if (pending > 0) return { tone: 'notice', text: `${plural(delivered, 'object')} delivered, ${count(pending)} still waiting` }
  if (sealed === 0 && delivered === 0) return { tone: 'well', text: 'Nothing was waiting' }
  return { tone: 'well', text: `${plural(delivered, 'object')} delivered` }
}

export function FlushButton ({ source, done }: { source?: string; done?: () => void }) {
  const { session, reload } = useNode()
  const [busy, setBusy] = useState(false)
  const [told, setTold] = useState<Outcome | null>(null)
  const mayNot = session.role === 'read'

  const flush = async () => {
    setBusy(true)
    setTold(null)
    try {
      setTold(outcome(await send<Flushed>('POST', `/api/flush${query({ source })}`, undefined, FLUSH_MS)))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      setTold({ tone: 'problem', text: `Not flushed: ${sentence(error.message)}` })
    }
    setBusy(false)
    reload()
    done?.()
  }

  return (
    <span class="flush">
      <span class={`flush-outcome tone-${told?.tone ?? 'quiet'}`} role="status">
        {told && <><Icon name={told.tone} size={14} />{told.text}</>}
        {!told && mayNot && 'Needs the admin token: yours only reads'}
      </span>
      <button type="button" class="primary" disabled={busy || mayNot} onClick={flush}
        title={source ? `Seal and deliver what waits for ${source}` : 'Seal and deliver everything that waits'}>
        <Icon name={busy ? 'busy' : 'flush'} size={14} /><span class="flush-word">{busy ? 'Flushing…' : 'Flush now'}</span>
      </button>
    </span>
  )
}
