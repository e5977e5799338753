// Server-sent events over fetch, which, unlike EventSource, gives the status and code of a refusal, and can
// be stopped.

import { refusal, Refusal } from './api'
import { parseExact } from './exact'

export type ServerEvent = { event: string; data: string }

/** Splits a stream of text into events. Comments and unknown fields are skipped. Pure. */
export class EventParser {
  #rest = ''
  #event = ''
  #data: string[] = []

  push (text: string): ServerEvent[] {
    const found: ServerEvent[] = []
    const lines = (this.#rest + text).split(/\r?\n/)
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length) found.push({ event: this.#event || 'message', data: this.#data.join('\n') })
        this.#event = ''
        this.#data = []
      } else {
        const colon = line.indexOf(':')
        const field = colon < 0 ? line : line.slice(0, colon)
        const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
        if (field === 'event') this.#event = value
        if (field === 'data') this.#data.push(value)
      }
    }
    return found
  }
}

/** A connection that is silent for longer than this is dead: heartbeats come every 15 s. */
const SILENCE_MS = 40_000
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 30_000

export type Connection =
  | { state: 'connecting' }
  | { state: 'open' }
  | { state: 'retrying'; why: Refusal; at_ms: number }

type Handlers = { event: (event: string, data: unknown) => void; connection: (connection: Connection) => void }

/** Keeps a stream open until `stop` is called, and reconnects with growing pauses. */
export function listen (path: string, { event, connection }: Handlers): { stop: () => void } {
  const stopped = new AbortController()
  let wait = FIRST_WAIT_MS
  let timer: number | undefined

  async function readOnce () {
    const one = new AbortController()
    const silent = () => one.abort(new Refusal(0, 'silent', 'the connection fell silent'))
    const end = () => one.abort()
    let silence = setTimeout(silent, SILENCE_MS)
    stopped.signal.addEventListener('abort', end)
    try {
      const response = await fetch(path, { headers: { accept: 'text/event-stream' }, signal: one.signal })
      if (!response.ok || !response.body) throw await refusal(response)
      connection({ state: 'open' })
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      const parser = new EventParser()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) throw new Refusal(0, 'ended', 'the node closed the connection')
        wait = FIRST_WAIT_MS
        clearTimeout(silence)
        silence = setTimeout(silent, SILENCE_MS)
        for (const { event: name, data } of parser.push(value)) event(name, parseExact(data))
      }
    } finally {
      clearTimeout(silence)
      stopped.signal.removeEventListener('abort', end)
      one.abort()
    }
  }

  async function run () {
    while (!stopped.signal.aborted) {
      connection({ state: 'connecting' })
      try {
        await readOnce()
      } catch (error) {
        if (stopped.signal.aborted) return
        const why = error instanceof Refusal ? error : new Refusal(0, 'no_answer', 'the node does not answer')
        connection({ state: 'retrying', why, at_ms: Date.now() + wait })
      }
      await new Promise<void>((resolve) => {
        timer = setTimeout(resolve, wait)
        stopped.signal.addEventListener('abort', () => resolve(), { once: true })
      })
      wait = Math.min(wait * 2, LONGEST_WAIT_MS)
    }
  }

  void run()
  return {
    stop () {
      clearTimeout(timer)
      stopped.abort()
    }
  }
}
