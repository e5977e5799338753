// A log over Kafka: which views there are, and what a partition waits for. Pure.

import type { Elsewhere, Kafka, Partition, Status } from './api'
import { count, plural, seconds } from './format'
import type { IconName } from './parts/icon'

/** Views that a role has nothing to show in. Destinations and imports need a spool. */
const HIDDEN: Record<string, string[]> = {
  collector: ['deliveries', 'destinations', 'archive', 'imports'],
  writer: ['live', 'deliveries', 'destinations', 'archive', 'imports'],
  dev: ['destinations', 'imports']
}

export function isHidden (view: string, kafka: Kafka | null | undefined): boolean {
  return kafka ? (HIDDEN[kafka.role] ?? HIDDEN.dev!).includes(view) : view === 'partitions'
}

/** What the process is, and its log. */
export function nodeTitle ({ node, spool_id: spool, kafka }: Status): string {
  if (!kafka) return `Node ${node}, spool ${spool}`
  const role = kafka.role === 'collector' ? 'Collector' : kafka.role === 'writer' ? 'Writer' : 'Node'
  return `${role} ${node}, log ${kafka.log_id ?? 'not known yet'}`
}

/** Records that are not read; null if the log's end is not known. */
export const lagRecords = ({ end_offset: end, read_offset: read }: Partition) => end == null ? null : Math.max(0, end - read)

export type Standing = { icon: IconName; tone: 'well' | 'notice' | 'problem' | 'quiet'; word: string }

export function standingOf (one: Partition): Standing {
  if (one.standing === 'stopped') return { icon: 'problem', tone: 'problem', word: 'stopped' }
  if (one.standing === 'waits') return { icon: 'notice', tone: 'notice', word: 'waits' }
  if (one.time_is_short) return { icon: 'problem', tone: 'problem', word: 'time short' }
  if (one.without_bucket.length) return { icon: 'notice', tone: 'notice', word: 'no bucket' }
  if (one.standing === 'begins') return { icon: 'busy', tone: 'quiet', word: 'begins' }
  return { icon: 'well', tone: 'well', word: 'delivers' }
}

/** After how many milliseconds an owner that says nothing is missed: it speaks every ten seconds. */
export const SILENT_AFTER_MS = 120_000

/** Whether the owner of a partition that is not here spoke when it was last heard of. */
export function speakingOf ({ owner, told_ms: told }: Elsewhere, heard: number): Standing {
  if (owner == null || told == null) return { icon: 'notice', tone: 'notice', word: 'no owner' }
  return heard - told >= SILENT_AFTER_MS ? { icon: 'problem', tone: 'problem', word: 'silent' } : { icon: 'well', tone: 'well', word: 'owned' }
}

/** What is wrong with a partition, and what to do. */
export function troublesOf (one: Partition, { topic }: Kafka): string[] {
  return [
    one.standing === 'stopped' && `stopped: ${one.why ?? 'this process does not say why'}`,
    one.standing === 'waits' && `waits: ${one.why ?? 'its notes cannot be read yet'}`,
    one.time_is_short && `in ${seconds(one.time_left_seconds)} Kafka deletes calls that are not delivered yet: fix what pins the partition, or raise retention.ms of ${topic}`,
    one.without_bucket.length > 0 && `no source in the configuration: ${one.without_bucket.join(', ')}. Add it to all writers, or its calls fill the cache`
  ].filter((text) => text !== false)
}

export function lagWords (one: Partition): string {
  const records = lagRecords(one)
  if (!records && one.lag_seconds === 0) return records == null ? 'not known yet' : 'none'
  return [records != null && plural(records, 'record'), seconds(one.lag_seconds)].filter(Boolean).join(', ')
}

export function termsWords ({ terms, ended }: Partition): string {
  return ended > 0 ? `${count(terms)}, ${count(ended)} of them ended by the brokers` : count(terms)
}

/** How far back the log is needed, in seconds, if that is known. */
export function neededFor (one: Partition, retention: number | null, now: number): number | null {
  if (retention != null && one.time_left_seconds != null) return Math.max(one.lag_seconds, retention - one.time_left_seconds)
  if (one.pinned_by) return Math.max(one.lag_seconds, (now - one.pinned_by.since_ms) / 1_000)
  return one.lag_seconds > 0 ? one.lag_seconds : null
}

/** Where an age stands between now (1) and `whole` seconds ago (0): minutes and days are both to be seen. */
export function placeOfAge (age: number, whole: number): number {
  const of = (s: number) => Math.log1p(Math.max(0, s) / 60)
  return 1 - Math.min(1, of(age) / of(Math.max(60, whole)))
}

const TICKS: [age: number, label: string][] = [[0, 'now'], [600, '10 min'], [3_600, '1 h'], [6 * 3_600, '6 h'], [86_400, '1 d'], [7 * 86_400, '7 d'], [30 * 86_400, '30 d']]
/** The least part of the width between two labels. */
const APART = 0.11

/** The labels of a time line of so many seconds, with their places. */
export function ticksOf (whole: number): { at: number; label: string }[] {
  const inside = TICKS.filter(([age]) => age < whole).map(([age, label]) => ({ at: placeOfAge(age, whole), label }))
  return [...inside.filter(({ at }) => at > APART), { at: 0, label: seconds(whole).replace(/ 0?0 (h|min|s)$/, '') }]
}
