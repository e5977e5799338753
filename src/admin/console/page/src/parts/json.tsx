// JSON, indented and tinted, with what the collector added or changed marked by a word.

import type { ComponentChildren } from 'preact'
import { ExactNumber } from '../exact'

/**
 * The most lines that are drawn: a call of 64 KiB of `[0,0,…]` would freeze the page. The copy has all of it.
 */
const LINES_MAX = 2_000

type Line = { depth: number; content: ComponentChildren; mark: 'added' | 'changed' | null }

function scalar (value: unknown): ComponentChildren {
  if (value instanceof ExactNumber) return <span class="json-number">{value.text}</span>
  if (typeof value === 'string') return <span class={value === '[hidden]' ? 'json-hidden' : 'json-string'}>{JSON.stringify(value)}</span>
  return <span class={typeof value === 'number' ? 'json-number' : 'json-word'}>{String(value)}</span>
}

function lines (root: unknown, added: Set<string>, changed: Set<string>): { lines: Line[]; cut: boolean } {
  const found: Line[] = []
  let cut = false
  const add = (line: Line) => {
    if (found.length < LINES_MAX) found.push(line)
    else cut = true
  }
  const walk = (value: unknown, depth: number, path: string, name: ComponentChildren, comma: string) => {
    if (cut) return
    const mark = added.has(path) ? 'added' : changed.has(path) ? 'changed' : null
    const isContainer = typeof value === 'object' && value !== null && !(value instanceof ExactNumber)
    if (!isContainer) return add({ depth, content: <>{name}{scalar(value)}{comma}</>, mark })
    const isArray = Array.isArray(value)
    const entries: [string, unknown][] = Object.entries(value)
    const [left, right] = isArray ? '[]' : '{}'
    if (!entries.length) return add({ depth, content: <>{name}{left}{right}{comma}</>, mark })
    add({ depth, content: <>{name}{left}</>, mark })
    entries.forEach(([key, member], index) => {
      const label = isArray ? null : <><span class="json-key">{JSON.stringify(key)}</span>: </>
      walk(member, depth + 1, path ? `${path}.${key}` : key, label, index < entries.length - 1 ? ',' : '')
    })
    add({ depth, content: <>{right}{comma}</>, mark: null })
  }
  walk(root, 0, '', null, '')
  return { lines: found, cut }
}

export function Json ({ value, added = [], changed = [], label }: { value: unknown; added?: string[]; changed?: string[]; label: string }) {
  const { lines: drawn, cut } = lines(value, new Set(added), new Set(changed))
  return (
    <div class="json" tabIndex={0} role="region" aria-label={label}>
      {drawn.map(({ depth, content, mark }, index) => (
        <div key={index} class={mark ? `json-line ${mark}` : 'json-line'}>
          <code style={{ paddingLeft: `${depth * 2}ch` }}>{content}</code>
          {mark && <span class="json-mark">{mark}</span>}
        </div>
      ))}
      {cut && <p class="note">Only the first {LINES_MAX.toLocaleString('en-US')} lines are drawn. The copy has all of them.</p>}
    </div>
  )
}
