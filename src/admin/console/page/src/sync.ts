// The `aws s3 sync` command for what the Archive shows. Pure.

import type { Place } from './api'
import { date, shellWord } from './format'

/** The folder of a stream below the bucket string, without the received-day. */
export function streamFolder (source: string, stream: string): string {
  if (stream === 'rejected') return `segment-logs/_rejected/${source}`
  if (stream.startsWith('objects/')) return `segment-logs/_objects/${stream.slice(8)}/${source}`
  if (stream.startsWith('dead/')) return `segment-logs/_dlq/${stream.slice(5)}/${source}`
  return `segment-logs/${source}`
}

/**
 * Downloads one day of a source, all its days, or with `source` null everything. The folder on this machine is that of
 * the bucket, so that two commands never mix their files.
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
