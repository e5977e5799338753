// The `aws s3 sync` command for what the Archive shows. Pure.

import type { ArchiveDay, Place } from './api'
import { date, shellWord } from './format'

/** The most days that one command names. */
export const DAYS_NAMED_MAX = 50

/** The folder of a stream below the bucket string, without the received-day. */
export function streamFolder (source: string, stream: string): string {
  if (stream === 'rejected') return `segment-logs/_rejected/${source}`
  if (stream.startsWith('objects/')) return `segment-logs/_objects/${stream.slice(8)}/${source}`
  if (stream.startsWith('dead/')) return `segment-logs/_dlq/${stream.slice(5)}/${source}`
  return `segment-logs/${source}`
}

/** One day of a stream, as the days of the Archive name it. */
export type StreamDay = Pick<ArchiveDay, 'source' | 'stream' | 'day_ms'>

export type Sync = {
  /** The bucket string, with the endpoint and region of its bucket. */
  place: string
  /** The command; null if it would name too many days. */
  command: string | null
}

/**
 * The commands that download the days `shown`. `all` are the days of `source`, or of every source. Each
 * bucket has its own commands, because a source may be in another bucket than the next one.
 */
export function syncCommands (shown: StreamDay[], all: StreamDay[], places: Record<string, Place>, dev: boolean, source: string): Sync[] {
  const groups = new Map<string, { place: Place; shown: StreamDay[]; all: StreamDay[] }>()
  for (const [days, list] of [[all, 'all'], [shown, 'shown']] as const) {
    for (const day of days) {
      const place = places[day.source]
      if (!place) continue
      const id = [place.bucket, place.endpoint_url, place.region].filter(Boolean).join(', ')
      if (!groups.has(id)) groups.set(id, { place, shown: [], all: [] })
      groups.get(id)![list].push(day)
    }
  }
  return [...groups].filter(([, group]) => group.shown.length > 0).flatMap(([id, group]) =>
    ofPlace(group, dev, source).map((command) => ({ place: id, command })))
}

function ofPlace ({ place, shown, all }: { place: Place; shown: StreamDay[]; all: StreamDay[] }, dev: boolean, source: string): (string | null)[] {
  const [first] = shown
  if (shown.length === all.length) {
    if (!source) return [syncCommand(place, dev, null)]
    return [...new Set(shown.map(({ stream }) => stream))].map((stream) => syncCommand(place, dev, source, stream))
  }
  if (shown.length === 1) return [syncCommand(place, dev, first!.source, first!.stream, first!.day_ms)]
  const oneStream = shown.every((day) => day.source === first!.source && day.stream === first!.stream)
  const patterns = oneStream ? shown.map(({ day_ms }) => `${day_ms}/*`) : patternsOf(shown, all, source)
  if (patterns.length > DAYS_NAMED_MAX) return [null]
  const only = ["--exclude '*'", ...patterns.map((pattern) => `--include '${pattern}'`)].join(' ')
  return [`${oneStream ? syncCommand(place, dev, first!.source, first!.stream) : syncCommand(place, dev, null)} ${only}`]
}

/**
 * The patterns of days below `segment-logs`; a day that is shown with all its sources and streams needs only
 * one.
 */
function patternsOf (shown: StreamDay[], all: StreamDay[], source: string): string[] {
  const count = (days: StreamDay[]) => {
    const counts = new Map<number, number>()
    for (const { day_ms } of days) counts.set(day_ms, (counts.get(day_ms) ?? 0) + 1)
    return counts
  }
  const [ofShown, ofAll] = [count(shown), count(all)]
  const isWhole = (day: number) => !source && ofShown.get(day) === ofAll.get(day)
  return [...new Set(shown.map((day) => isWhole(day.day_ms)
    ? `*/${day.day_ms}/*`
    : `${streamFolder(day.source, day.stream).replace('segment-logs/', '')}/${day.day_ms}/*`))]
}

/**
 * The command that downloads one day of a source, all its days, or with `source` null everything. The folder
 * on this machine has the bucket's name, so that two commands never mix their files.
 */
export function syncCommand (place: Place, dev: boolean, source: string | null, stream = 'calls', dayMs: number | null = null): string {
  const below = source === null ? 'segment-logs' : streamFolder(source, stream) + (dayMs === null ? '' : `/${dayMs}`)
  const to = source === null ? './segment-logs' : `./${streamFolder(source, stream)}` + (dayMs === null ? '' : `/${date(dayMs)}`)
  const command = ['aws s3 sync', shellWord(`s3://${place.bucket}/${below}`), shellWord(to)]
  if (place.endpoint_url) command.push('--endpoint-url', shellWord(place.endpoint_url))
  if (place.region && !dev) command.push('--region', shellWord(place.region))
  const credentials = `AWS_ACCESS_KEY_ID=forebay AWS_SECRET_ACCESS_KEY=forebay-secret AWS_DEFAULT_REGION=${place.region ?? 'us-east-1'} \\\n  `
  return (dev ? credentials : '') + command.join(' ')
}
