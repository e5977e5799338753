// What a destination does, and whether its failures still need a person. Pure.

import type { Destination } from './api'
import { count, plural } from './format'

export const waiting = ({ functions }: Destination) => functions.reduce((all, each) => all + each.waiting, 0)
const unread = ({ functions }: Destination) => functions.reduce((most, each) => Math.max(most, each.unread), 0)
/** Dead letters that no replay has delivered yet, as far as that is known. */
export const lettersLeft = ({ dead_stored: stored, dead_sent_again: sent }: Destination) => Math.max(0, stored - sent)

/** Whether a failure of this function needs nobody any more: nothing waits for it, and no dead letter is left. */
export const isOver = (one: Destination, { waiting: waits }: Destination['functions'][number]) => waits === 0 && lettersLeft(one) === 0

export const OVER = 'The last call failed, nothing waits'

export type DestinationState = {
  icon: 'well' | 'notice' | 'problem' | 'busy'; tone: 'well' | 'notice' | 'problem' | 'quiet'; word: string; title?: string
}

export function destinationState (one: Destination): DestinationState {
  const failing = [...one.functions.filter((each) => each.open_since_ms != null), ...one.functions].filter((each) => each.failing)
  const worst = failing.find((each) => !isOver(one, each))?.failing
  if (worst) return { icon: 'problem', tone: 'problem', word: worst.shown, title: worst.what }
  if (one.removed) return { icon: 'notice', tone: 'notice', word: 'removed, sends what waits' }
  const left = lettersLeft(one)
  if (left > 0) return { icon: 'notice', tone: 'notice', word: 'dead letters left', title: `${plural(left, 'dead letter')} of ${count(one.dead_stored)} left` }
  if (waiting(one) + unread(one) > 0) return { icon: 'busy', tone: 'quiet', word: 'sending' }
  if (failing.length) return { icon: 'notice', tone: 'quiet', word: 'last call failed', title: `${OVER}: ${failing[0]!.failing!.shown}` }
  return { icon: 'well', tone: 'well', word: 'up to date' }
}
