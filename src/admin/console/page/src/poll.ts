// Hooks that ask the node again and again while the page is visible.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { get, Refusal } from './api'

export type Polled<T> = {
  /** The last good answer to this path. */
  data: T | null
  /** Why the last request failed; null after a good answer. */
  error: Refusal | null
  /** When the requests began to fail. */
  failing_since: number | null
  reload: () => void
}

const RETRY_MS = 2_000

export function useVisible (): boolean {
  const [visible, setVisible] = useState(document.visibilityState === 'visible')
  useEffect(() => {
    const changed = () => setVisible(document.visibilityState === 'visible')
    document.addEventListener('visibilitychange', changed)
    return () => document.removeEventListener('visibilitychange', changed)
  }, [])
  return visible
}

/**
 * Asks for `path` at once, and then every `everyMs`, with never two requests at a time. A null `path` asks
 * for nothing.
 */
export function usePolled<T> (path: string | null, everyMs: number): Polled<T> {
  type Answer = { path: string | null; data: T | null; error: Refusal | null; failing_since: number | null }
  const [answer, setAnswer] = useState<Answer>({ path, data: null, error: null, failing_since: null })
  const [round, setRound] = useState(0)
  const visible = useVisible()

  useEffect(() => {
    if (path === null || !visible) return
    const stopped = new AbortController()
    let timer: number | undefined
    const ask = async () => {
      let wait = everyMs
      try {
        const data = await get<T>(path, stopped.signal)
        if (stopped.signal.aborted) return
        setAnswer({ path, data, error: null, failing_since: null })
      } catch (error) {
        if (stopped.signal.aborted) return
        if (!(error instanceof Refusal)) throw error
        wait = Math.min(everyMs, RETRY_MS)
        setAnswer((old) => ({
          path, data: old.path === path ? old.data : null, error, failing_since: (old.path === path ? old.failing_since : null) ?? Date.now()
        }))
      }
      timer = setTimeout(ask, wait)
    }
    void ask()
    return () => {
      clearTimeout(timer)
      stopped.abort()
    }
  }, [path, everyMs, visible, round])

  const reload = useCallback(() => setRound((n) => n + 1), [])
  const current = answer.path === path
  return {
    data: current ? answer.data : null,
    error: current ? answer.error : null,
    failing_since: current ? answer.failing_since : null,
    reload
  }
}

/** `value` once it has not changed for `ms`, so that a filter does not ask for each letter. */
export function useSettled<T> (value: T, ms: number): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return settled
}

/** Keys that work while no field has the focus. */
export function useKeys (keys: Record<string, (event: KeyboardEvent) => void>): void {
  const latest = useRef(keys)
  latest.current = keys
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const target = event.target as HTMLElement
      const typing = target.matches('input, select, textarea')
      if (typing && event.key !== 'Escape') return
      latest.current[event.key]?.(event)
    }
    document.addEventListener('keydown', pressed)
    return () => document.removeEventListener('keydown', pressed)
  }, [])
}
