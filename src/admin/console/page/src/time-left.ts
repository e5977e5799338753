// How long the spool lasts, and how long a chart is, in words. Pure.

import type { Status } from './api'
import { seconds } from './format'

const YEAR_S = 365 * 86_400

/** The time left, and what it means. */
export function timeLeft ({ seconds_left, incoming_bytes_per_second, is_full }: Pick<Status['spool'], 'seconds_left' | 'incoming_bytes_per_second' | 'is_full'>): [string, string] {
  if (is_full) return ['none', 'it is full, and calls are refused']
  if (seconds_left != null) return [seconds_left > YEAR_S ? 'over a year' : seconds(seconds_left), 'without deliveries, at this rate']
  return incoming_bytes_per_second == null ? ['not known yet', 'what comes in is being measured'] : ['no limit in sight', 'nothing comes in']
}

/** The mean of a history, of the values that there are. */
export const mean = (values: number[] | undefined) => values?.length ? values.reduce((sum, one) => sum + one, 0) / values.length : null

/** `10 min`; below a minute `15 s`. */
export function spanOf (length: number): string {
  return length < 60 ? `${Math.round(length)} s` : `${Math.round(length / 60)} min`
}
