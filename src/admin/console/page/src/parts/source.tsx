// A source's state and rate, as the list and its own page show them.

import type { SourceStatus } from '../api'
import { sourceState } from '../problems'
import { State } from './icon'

/** Calls a second, now: the mean of the last step. */
export const lastRate = (values: number[] | undefined) => values?.at(-1) ?? 0

export function StateOfSource ({ source, now }: { source: SourceStatus; now: number }) {
  const { level, word, why } = sourceState(source, now)
  return <State icon={level} tone={level} word={word} title={why} />
}
