// The address of a view: `#/sources/ID`. Pure but for the hook.

import { useEffect, useState } from 'preact/hooks'

export type Route = { view: string; rest: string[] }

export function parseHash (hash: string): Route {
  const parts = hash.replace(/^#\/?/, '').split('/').filter((part) => part !== '')
  const decoded = parts.map((part) => {
    try {
      return decodeURIComponent(part)
    } catch {
      return part
    }
  })
  return { view: decoded[0] ?? '', rest: decoded.slice(1) }
}

export function href (...parts: (string | number)[]): string {
  return '#/' + parts.map((part) => encodeURIComponent(String(part))).join('/')
}

/** In place of a source: all of them. No source has this id. */
export const ALL_SOURCES = '_'
/** The type of requests that were refused as a whole, in the live view. */
export const REFUSED = 'refused'
/** The list of refused requests. */
export const REFUSED_REQUESTS = href('live', ALL_SOURCES, REFUSED)

export function useRoute (): Route {
  const [route, setRoute] = useState(() => parseHash(location.hash))
  useEffect(() => {
    const changed = () => setRoute(parseHash(location.hash))
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }, [])
  return route
}
