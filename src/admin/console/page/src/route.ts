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

export function useRoute (): Route {
  const [route, setRoute] = useState(() => parseHash(location.hash))
  useEffect(() => {
    const changed = () => setRoute(parseHash(location.hash))
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }, [])
  return route
}
