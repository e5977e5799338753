// The bounded list of live calls, newest first; new ones are held back while somebody reads. Pure.

import type { LiveCall } from './api'

/** The most rows in the list, and the most calls that are held back for it. */
export const LIST_MAX = 300

export type LiveList = {
  rows: LiveCall[]
  held: LiveCall[]
  /** How many calls were held back, including those that no longer fit. */
  held_count: number
}

export const EMPTY: LiveList = { rows: [], held: [], held_count: 0 }

/** The key of a call. Ids begin again when the process does; the time distinguishes equal ones. */
export const callKey = ({ id, at_ms }: LiveCall) => `${id}-${at_ms}`

/** Calls in their order, newest first: a stream that is opened again begins with earlier calls. */
function newestFirst (calls: LiveCall[]): LiveCall[] {
  return calls.sort((a, b) => b.at_ms - a.at_ms || b.id - a.id).slice(0, LIST_MAX)
}

/** Adds calls, in any order; calls that the list already has are skipped. */
export function add (list: LiveList, calls: LiveCall[], hold: boolean): LiveList {
  const known = new Set([...list.rows, ...list.held].map(callKey))
  const fresh = calls.filter((call) => !known.has(callKey(call)))
  if (!fresh.length) return list
  if (hold && list.rows.length) {
    return { ...list, held: newestFirst([...fresh, ...list.held]), held_count: list.held_count + fresh.length }
  }
  return { ...list, rows: newestFirst([...fresh, ...list.rows]) }
}

/** Shows the calls that were held back. */
export function release (list: LiveList): LiveList {
  return list.held.length ? { rows: newestFirst([...list.held, ...list.rows]), held: [], held_count: 0 } : list
}
