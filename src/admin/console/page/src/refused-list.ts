// Groups of refused requests, the one with the last request first. Pure.

import type { RefusedGroup } from './api'

/** The most groups that are kept: as many as a node has. */
export const REFUSED_MAX = 200

/** How long groups stand above the calls after their last request. */
const LATELY_MS = 600_000

/** Codes of requests that were refused for lack of space: there are alarms about them. */
const FOR_SPACE = ['spool_full', 'destination_full']

/** The key of a group. Ids begin again when the process does; the time of the first request distinguishes equal ones. */
export const groupKey = ({ id, first_ms }: RefusedGroup) => `${id}-${first_ms}`

/** Adds groups, in any order; a group that is known is replaced. */
export function addRefused (list: RefusedGroup[], groups: RefusedGroup[]): RefusedGroup[] {
  const fresh = new Map([...list, ...groups].map((group) => [groupKey(group), group]))
  return [...fresh.values()].sort((a, b) => b.last_ms - a.last_ms || b.id - a.id).slice(0, REFUSED_MAX)
}

/** The groups that stand above the calls. */
export const lately = (list: RefusedGroup[], now: number): RefusedGroup[] =>
  list.filter((group) => !FOR_SPACE.includes(group.code) && now - group.last_ms < LATELY_MS)
