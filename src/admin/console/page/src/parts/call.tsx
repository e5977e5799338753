// A call's name and type, as lists and details show them.

import type { LiveCall } from '../api'
import { stream } from '../format'
import { Icon } from './icon'

/** The name of a call; for an object set, its collection and id. */
export function nameOf ({ stream: of, name }: LiveCall): string | null {
  return of.startsWith('objects/') ? [of.slice('objects/'.length), name].filter(Boolean).join(' ') : name
}

export function CallType ({ call }: { call: LiveCall }) {
  return call.stream === 'rejected'
    ? <span class="type rejected" title={`rejected${call.type && `: ${call.type}`}`}><Icon name="rejected" size={13} />rejected</span>
    : <span class="type" title={stream(call.stream)}>{call.type}</span>
}
