// Numbers, sizes, times and names as a person reads them. Pure. Times are UTC, like received-days and lines.

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

export const NONE = '–'

export function count (n: number | null | undefined): string {
  return n == null ? NONE : grouped.format(n)
}

/** Below this, `rate` shows no difference. */
export const RATE_UNIT = 0.1

/**
 * A rate a second, below 10 with one digit after the point, so that a slow source does not read as silent.
 */
export function rate (n: number | null | undefined): string {
  if (n == null) return NONE
  if (n > 0 && n < 0.1) return '<0.1'
  return n < 10 ? String(asShown(n)) : grouped.format(asShown(n))
}

/** The rate that `rate` shows. */
export const asShown = (n: number) => n < 10 ? Math.round(n * 10) / 10 : Math.round(n)

/** `1 call`, `2 calls`. */
export function plural (n: number, one: string, many = one + 's'): string {
  return `${count(n)} ${n === 1 ? one : many}`
}

/** A number with three digits. */
function threeDigits (n: number): string {
  return n >= 99.95 ? String(Math.round(n)) : n >= 9.995 ? n.toFixed(1) : n.toFixed(2)
}

const SIZES = ['KB', 'MB', 'GB', 'TB', 'PB']

/** Sizes as in the configuration: 1 KB = 1,000 bytes. */
export function bytes (n: number | null | undefined): string {
  if (n == null) return NONE
  if (n < 1_000) return `${Math.round(n)} B`
  let value = n / 1_000
  let unit = 0
  while (value >= 999.5 && unit < SIZES.length - 1) {
    value /= 1_000
    unit += 1
  }
  return `${threeDigits(value)} ${SIZES[unit]}`
}

export function exactBytes (n: number | null | undefined): string {
  return n == null ? '' : `${count(n)} bytes`
}

const two = (n: number) => String(n).padStart(2, '0')

/** A duration in its two largest units. */
export function seconds (n: number | null | undefined): string {
  if (n == null) return NONE
  const s = Math.max(0, Math.floor(n))
  if (s < 60) return `${s} s`
  if (s < 3_600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${two(Math.floor(s % 3_600 / 60))} min`
  return `${Math.floor(s / 86_400)} d ${Math.floor(s % 86_400 / 3_600)} h`
}

export function millis (n: number | null | undefined): string {
  if (n == null) return NONE
  if (n >= 60_000) return seconds(n / 1_000)
  return n >= 999.5 ? `${threeDigits(n / 1_000)} s` : `${threeDigits(n)} ms`
}

const iso = (ms: number) => new Date(ms).toISOString()

/** `14:03:22` */
export const clock = (ms: number) => iso(ms).slice(11, 19)

/** `14:03:22.123` */
export const clockMillis = (ms: number) => iso(ms).slice(11, 23)

/** `2026-11-21` */
export const date = (ms: number) => iso(ms).slice(0, 10)

/** `2026-11-21 14:03:22` */
export const dateTime = (ms: number) => `${date(ms)} ${clock(ms)}`

/** The exact instant, for titles: UTC, and in the reader's zone. */
export const exactTime = (ms: number) => `${iso(ms)} (local: ${new Date(ms).toLocaleString()})`

/** How long ago a time was; a time a little ahead of the clock reads as now. */
export function ago (ms: number, now: number): string {
  const s = (now - ms) / 1_000
  return s < 1 ? 'now' : `${s < 60 ? seconds(s) : largestUnit(s)} ago`
}

/** How long until a time. */
export function until (ms: number, now: number): string {
  const s = (ms - now) / 1_000
  return s < 1 ? 'now' : `in ${s < 60 ? seconds(s) : largestUnit(s)}`
}

function largestUnit (s: number): string {
  if (s < 3_600) return `${Math.floor(s / 60)} min`
  if (s < 86_400) return `${Math.floor(s / 3_600)} h`
  return `${Math.floor(s / 86_400)} d`
}

export function percent (part: number, whole: number): string {
  if (whole <= 0) return NONE
  const p = 100 * part / whole
  return p > 0 && p < 1 ? '<1 %' : `${Math.round(p)} %`
}

/**
 * The text with a capital first letter, for messages that begin in lower case; names of settings stay as they
 * are.
 */
export function sentence (text: string): string {
  return /^[a-z]+([ ,:]|$)/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text
}

/** A size of the configuration, such as `100 MB` or `64KiB`, in bytes. */
export function parseSize (text: string): number | null {
  const match = /^([\d.]+)\s*(B|[KMGT]i?B)?$/.exec(text.trim())
  if (!match) return null
  const unit = match[2] ?? 'B'
  const power = 'BKMGT'.indexOf(unit.charAt(0))
  return Number(match[1]) * (unit.includes('i') ? 1_024 : 1_000) ** power
}

/** The name of a stream in words. */
export function stream (name: string): string {
  if (name === 'calls') return 'calls'
  if (name === 'rejected') return 'rejected items'
  return name.startsWith('objects/') ? `objects: ${name.slice(8)}` : name.startsWith('dead/') ? `dead letters: ${name.slice(5)}` : name
}

/** What `n` lines of a stream are. */
export function linesOf (streamName: string, n: number): string {
  return streamName === 'calls' ? plural(n, 'call') : streamName === 'rejected' ? plural(n, 'item') : plural(n, 'line')
}

/** The encryption that the store applied. */
export function encryption (applied: { algorithm: string | null; kms_key: string | null; bucket_key: boolean } | null | undefined): string {
  if (!applied || !applied.algorithm) return 'not reported'
  const name = applied.algorithm === 'AES256' ? 'SSE-S3' : applied.algorithm === 'aws:kms' ? 'SSE-KMS' : applied.algorithm
  return applied.bucket_key ? `${name}, bucket key` : name
}

/** The most characters at the end of a name that stay, so that it differs from its neighbours. */
const NAME_END = 14

/**
 * A name in at most so many characters. An ellipsis stands where something is cut: first the folders in the middle, then
 * the bucket, and the last part only if it alone is too long.
 */
export function shorten (text: string, most: number): string {
  if (text.length <= most) return text
  const [, scheme = '', place = '', folders = '', last = ''] = /^(?:([a-z][a-z0-9+.-]*:\/\/)([^/]+\/))?(.*\/(?=.))?(.*)$/s.exec(text) ?? []
  const gap = folders && '…/'
  const ways = place || folders ? [scheme + place + gap + last, '…' + place + gap + last, '…/' + last, '…' + last] : []
  const fits = ways.find((way) => way.length <= most)
  if (fits) return fits
  const end = Math.min(NAME_END, Math.floor(most / 2))
  return last.slice(0, Math.max(1, most - 1 - end)) + '…' + last.slice(last.length - end)
}

/** The last segment of an object key. */
export const fileName = (key: string) => key.slice(key.lastIndexOf('/') + 1)

/** The folder of an object key, with its slash. */
export const folder = (key: string) => key.slice(0, key.lastIndexOf('/') + 1)

/** A word for a shell: quoted if it must be. */
export function shellWord (text: string): string {
  return /^[\w@%+=:,./<>-]+$/.test(text) && !/[<>]/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
