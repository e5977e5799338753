// Small parts that several views use.

import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'
import type { Missing, Refusal } from '../api'
import { ago, exactTime, fileName, folder, percent, plural, sentence } from '../format'
import { useNow } from '../node'
import { CopyButton } from './copy'
import { Cut } from './cut'
import { Icon } from './icon'

/** How long ago a time was, with the exact instant as the title. */
export function Ago ({ at }: { at: number | null | undefined }) {
  const now = useNow()
  return at == null ? <span class="quiet">none yet</span> : <time dateTime={new Date(at).toISOString()} title={exactTime(at)}>{ago(at, now)}</time>
}

/** One figure with its name. */
export function Stat ({ name, value, title, note, children }: {
  name: string; value: ComponentChildren; title?: string; note?: ComponentChildren; children?: ComponentChildren
}) {
  return (
    <div class="stat">
      <dt>{name}</dt>
      <dd>
        <span class="stat-value" title={title}>{value}</span>
        {note != null && <span class="stat-note">{note}</span>}
        {children}
      </dd>
    </div>
  )
}

/** A command in a text. It breaks at blanks, and not at the hyphens of an option. */
export function Command ({ text }: { text: string }) {
  return <code>{text.split(' ').map((word, index) => <>{index > 0 && ' '}<span class="word">{word}</span></>)}</code>
}

/** A message of the node: it begins with a capital, and text in backticks is code. */
export function Prose ({ text }: { text: string }) {
  return <>{sentence(text).split('`').map((part, index) => index % 2 ? <Command text={part} /> : part)}</>
}

export type Fact = [name: string, value: ComponentChildren]

/** Names and values, one below the other. */
export function Facts ({ facts }: { facts: (Fact | false)[] }) {
  return (
    <dl class="facts">
      {facts.filter((fact) => fact !== false).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  )
}

/** A bar from 0 to 1, with its name and its value in words. */
export function Bar ({ name, part, words }: { name: string; part: number; words: string }) {
  const id = useId()
  const full = Math.min(1, Math.max(0, part))
  return (
    <div class="bar">
      <div class="bar-words"><span id={id}>{name}</span><span>{words}</span></div>
      <div class="bar-track" role="progressbar" aria-labelledby={id} aria-valuemin={0} aria-valuemax={100}
        aria-valuenow={Math.round(full * 100)} aria-valuetext={words} title={percent(full, 1)}>
        <div class="bar-fill" style={{ width: `${full * 100}%` }} />
      </div>
    </div>
  )
}

/** The name of an object in a table. */
export const ObjectName = ({ value }: { value: string }) => <Cut text={fileName(value)} title={value} />

/** A whole object key. */
export function KeyWithCopy ({ value }: { value: string }) {
  return (
    <span class="key">
      <span class="wrap"><span class="quiet">{folder(value)}</span>{fileName(value)}</span>
      <CopyButton text={() => value} what="the object key" small />
    </span>
  )
}

export function PageHead ({ title, lead, children }: { title: ComponentChildren; lead?: ComponentChildren; children?: ComponentChildren }) {
  return (
    <div class="page-head">
      <div class="page-title"><h1 tabIndex={-1}>{title}</h1>{lead && <p class="lead">{lead}</p>}</div>
      {children && <div class="page-actions">{children}</div>}
    </div>
  )
}

export function Card ({ title, actions, children, class: className }: {
  title: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren; class?: string
}) {
  const id = useId()
  return (
    <section class={`card ${className ?? ''}`} aria-labelledby={id}>
      <div class="card-head"><h2 id={id}>{title}</h2>{actions}</div>
      {children}
    </section>
  )
}

export function Empty ({ title, children }: { title: string; children?: ComponentChildren }) {
  return <div class="empty"><p class="empty-title">{title}</p>{children}</div>
}

/** Why a card has no data, or old data. */
export function Failed ({ error, what }: { error: Refusal; what: string }) {
  const why = error.status === 0 ? 'The node does not answer.' : `${sentence(error.message)} (${error.status}${error.code && ' ' + error.code})`
  return <p class="failed" role="status"><Icon name="notice" /><span><b>{what} could not be read.</b> {why}</span></p>
}

/** What a list of deliveries leaves out. */
export function LeftOut ({ missing }: { missing: Missing | undefined }) {
  if (!missing) return null
  const { dropped, sums_dropped: sums, missed, problem } = missing
  const notes = [
    problem && `The list of deliveries cannot be read or written now: ${sentence(problem)}`,
    missed > 0 && `${plural(missed, 'object was', 'objects were')} delivered but never listed.`,
    dropped > 0 && `${plural(dropped, 'object is', 'objects are')} no longer listed one by one; the sums of days have ${dropped === 1 ? 'it' : 'them'}.`,
    sums > 0 && `${plural(sums, 'sum of a day is', 'sums of days are')} no longer listed.`
  ].filter(Boolean)
  return notes.length ? <p class="failed" role="status"><Icon name="notice" /><span>{notes.join(' ')} Deliveries themselves are not concerned.</span></p> : null
}

/** What is shown until the first answer. */
export function Loading ({ error, what }: { error: Refusal | null; what: string }) {
  return error ? <Failed error={error} what={what} /> : <p class="loading">Loading…</p>
}

export type Choice = { value: string; label: string }

/** A labelled choice. */
export function Select ({ label, value, choices, change }: {
  label: string; value: string; choices: Choice[]; change: (value: string) => void
}) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => change(event.currentTarget.value)}>
        {choices.map(({ value: one, label: name }) => <option key={one} value={one}>{name}</option>)}
      </select>
    </div>
  )
}

/** Above this many sources a field with suggestions replaces the list. */
const LIST_MAX = 100

/** A choice of one source, or of all. */
export function SourcePicker ({ value, ids, change }: { value: string; ids: string[]; change: (id: string) => void }) {
  const id = useId()
  const list = useId()
  // A source in the address that is not known (any more) stays chosen.
  const known = value === '' || ids.includes(value) ? ids : [value, ...ids]
  if (known.length <= LIST_MAX) {
    return <Select label="Source" value={value} change={change}
      choices={[{ value: '', label: 'All sources' }, ...known.map((id) => ({ value: id, label: id }))]} />
  }
  const fitting = known.filter((id) => id.includes(value)).slice(0, LIST_MAX)
  return (
    <div class="field">
      <label for={id}>Source</label>
      <input id={id} type="search" list={list} value={value} placeholder="All sources" autocomplete="off" spellcheck={false}
        onChange={(event) => change(event.currentTarget.value.trim())} />
      <datalist id={list}>{fitting.map((one) => <option key={one} value={one} />)}</datalist>
    </div>
  )
}

/** The filter box that `/` focuses. */
export function Filter ({ label, value, placeholder, change }: {
  label: string; value: string; placeholder: string; change: (value: string) => void
}) {
  const id = useId()
  return (
    <div class="field grow">
      <label for={id}>{label}</label>
      <input id={id} type="search" data-filter value={value} placeholder={placeholder} autocomplete="off" spellcheck={false}
        onInput={(event) => change(event.currentTarget.value)} />
    </div>
  )
}
