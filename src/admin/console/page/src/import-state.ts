// What an import of a bucket does and waits for, in words. Pure.

import type { After, BucketImport, Import, Messages, Pass, QueueDepth } from './api'
import { ago, count, plural } from './format'

export type ImportState = {
  icon: 'well' | 'notice' | 'problem' | 'busy' | 'quiet'; tone: 'well' | 'notice' | 'problem' | 'quiet'; word: string; title?: string
}

export const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, one) => all + one, 0)

/** Files that are not done, as far as the pass began them. */
export const unfinished = ({ files }: Pass) => sum(files) - (files.done ?? 0) - (files.done_before ?? 0)

/** Why nothing is done with an imported file yet. */
const WAITS: Record<string, string> = {
  due: 'the next passes do it', unreachable: 'the store could not be reached; the next pass tries again', denied: 'access denied',
  refused: 'refused by the store', rejected_rows: 'rows were rejected, and the file may be the only place that has them',
  changed: 'another object has the key now; it stays', too_large: 'more than 5 GB, which S3 does not copy in one request',
  long_key: 'the new key would have more than 1,024 bytes', too_many_tags: 'the object has ten tags already',
  unreadable: 'the import journal cannot be read for them'
}

/** Those of these reasons that need a person. The others end by themselves, or the file stays as it is. */
const STUCK = ['denied', 'refused', 'too_many_tags', 'unreadable']

const DONE: Record<string, string> = { tagged: 'tagged', moved: 'moved', deleted: 'deleted', gone: 'gone already' }

/** What becomes of messages: these are deleted. */
const DELETED: Record<string, string> = { done: 'their files are done', foreign: 'about objects of others', other: 'about something else than new objects' }

/** These go back to the queue. */
const GIVEN_BACK: Record<string, string> = {
  failed: 'a file failed', given_up: 'a file is given up', elsewhere: 'another instance has a file', unreadable: 'they cannot be read', stopped: 'the import was stopped'
}

export type Counted = { what: string; count: number }

/** Counts with their words, those that are not zero. A word of a newer node stands as it is. */
function inWords (counts: Record<string, number>, words: Record<string, string>, known: (what: string) => boolean = () => true): Counted[] {
  const some = Object.entries(counts).filter(([what, n]) => n > 0 && known(what))
  return some.map(([what, n]) => ({ what: words[what] ?? what.replaceAll('_', ' '), count: n }))
}

export const afterDone = ({ done }: After) => inWords(done, DONE).map(({ what, count: n }) => `${count(n)} ${what}`).join(', ')

export const afterWaits = ({ waiting }: After): Counted[] => inWords(waiting, WAITS)

export const waitsOf = (why: string) => WAITS[why] ?? why.replaceAll('_', ' ')

/** Imported files with which nothing is done before a person acts. */
export const afterStuck = ({ waiting }: After) => STUCK.reduce((all, why) => all + (waiting[why] ?? 0), 0)

export const deletedMessages = ({ messages }: Messages): Counted[] => inWords(messages, DELETED, (what) => what in DELETED)

/** All other messages that were received went back: a word of a newer node too. */
export const givenBack = ({ messages }: Messages): Counted[] => inWords(messages, GIVEN_BACK, (what) => !(what in DELETED))

/** How many messages the queue has. SQS counts them about, so the time belongs to the numbers. */
export const queueDepth = ({ waiting, in_flight, read_ms }: QueueDepth, now: number) =>
  `about ${count(waiting)} waiting and ${count(in_flight)} in flight, ${ago(read_ms, now)}`

/** The files of an import of a bucket among those that are listed; none if another import reads the same place. */
export const filesOf = (one: BucketImport, files: Import[], all: BucketImport[]) => files.filter(({ what, source }) => {
  const readers = all.filter((reader) => reader.source === source && what.startsWith(reader.place))
  return readers.length === 1 && readers[0]!.name === one.name
})

/**
 * Rows that were rejected first, and are not any more: those that a command read and sent again, or a pass over a bucket
 * read again. Of the latter, some became calls, and others repeat calls or were left out by the converter.
 */
export const settledRows = ({ sent_again: sent = 0, settled = 0 }: Import): number => sent + settled

/** `4 rejected first and sent again` */
export const settledWords = (one: Import) => {
  const settled = settledRows(one)
  const rows = plural(settled, 'row')
  const again = settled === 1 ? 'it' : 'them'
  return (one.sent_again ?? 0) > 0 ? `${rows} rejected first and sent again` : `${rows} rejected at first only: a pass read ${again} again`
}

/** What an import does, or what it waits for: what needs a person first. */
export function importState (one: BucketImport): ImportState {
  const { failing, enabled, paused, pass_since_ms, pass_rows, last, whole, notifications, name } = one
  if (failing) return { icon: 'problem', tone: 'problem', word: 'cannot go on', title: failing }
  if (!enabled) return { icon: 'notice', tone: 'notice', word: 'paused', title: 'enabled = false in the configuration' }
  if (paused) return { icon: 'notice', tone: 'notice', word: 'paused', title: `until forebay import resume ${name}` }
  if (notifications?.failing) return { icon: 'problem', tone: 'problem', word: 'cannot receive', title: notifications.failing }
  const problem = last?.claims?.problem
  if (problem) return { icon: 'problem', tone: 'problem', word: 'begins no file', title: problem }
  if (pass_since_ms != null) return { icon: 'busy', tone: 'quiet', word: pass_rows > 0 ? `reading, ${plural(pass_rows, 'row')}` : 'looking' }
  const passes = [last, whole].filter((pass) => pass != null)
  const notice = (n: number, what: string): ImportState => ({ icon: 'notice', tone: 'notice', word: `${plural(n, 'file')} ${what}` })
  for (const pass of passes) if (unfinished(pass) > 0) return notice(unfinished(pass), 'not done')
  for (const { claims } of passes) if (claims && claims.unknown > 0) return notice(claims.unknown, 'without a claim')
  if (last?.after && afterStuck(last.after) > 0) return notice(afterStuck(last.after), `not ${PARTICIPLE[last.after.action] ?? 'put away'}`)
  if (notifications && notifications.not_done.length > 0) return notice(notifications.not_done.length, 'not done')
  if (!last) return notifications ? { icon: 'well', tone: 'well', word: 'reads messages' } : { icon: 'quiet', tone: 'quiet', word: 'no pass yet' }
  if (last.not_begun > 0 || last.stopped) return { icon: 'busy', tone: 'quiet', word: 'goes on with the next pass' }
  return { icon: 'well', tone: 'well', word: 'up to date' }
}

const PARTICIPLE: Record<string, string> = { tag: 'tagged', move: 'moved', delete: 'deleted' }

/** The title of what is done with imported files. */
export const afterTitle = ({ action }: After) => `After the import: ${action}`
