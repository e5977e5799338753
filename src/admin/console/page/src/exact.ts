// JSON without a lost digit: stored lines are shown and copied as they are. Pure.

/** A number whose digits JavaScript cannot hold, as it stands in the line. */
export class ExactNumber {
  constructor (readonly text: string) {}
}

/** Parses JSON and keeps the digits of numbers that JavaScript would write differently. */
export function parseExact (text: string): unknown {
  // Older browsers give no context, so there such numbers are rounded.
  const keep = (_key: string, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined && String(value) !== context.source
      ? new ExactNumber(context.source)
      : value
  return JSON.parse(text, keep)
}

/** Indented JSON. */
export function jsonText (value: unknown, indent = ''): string {
  if (value instanceof ExactNumber) return value.text
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const inner = indent + '  '
  const isArray = Array.isArray(value)
  const members = isArray
    ? value.map((one) => jsonText(one, inner))
    : Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${jsonText(one, inner)}`)
  const [left, right] = isArray ? '[]' : '{}'
  return members.length ? `${left}\n${inner}${members.join(`,\n${inner}`)}\n${indent}${right}` : `${left}${right}`
}
