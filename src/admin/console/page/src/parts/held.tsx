// A list whose new rows wait while somebody reads, like the list of live calls.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { count } from '../format'
import { heldRows } from '../held-list'
import { Icon } from './icon'

/** How far above the view the top of the list is before its rows stay as they are, in pixels. */
const SCROLLED = 8

/**
 * The rows are held while the pointer or the focus is in the list, while its first rows are scrolled away, and while
 * `reading` says so. A button shows the new ones.
 */
export function Held<Row> ({ latest, rowKey, one, many, reading, released, children }: {
  latest: Row[]
  rowKey: (row: Row) => string
  /** What a row is, and what several are. */
  one: string
  many: string
  reading: boolean
  /** The button was pressed. */
  released?: () => void
  children: (rows: Row[]) => ComponentChildren
}) {
  const box = useRef<HTMLDivElement>(null)
  const [on, setOn] = useState({ hover: false, focus: false, scrolled: false })
  const set = (change: Partial<typeof on>) => setOn((old) => ({ ...old, ...change }))
  const kept = useRef<Row[]>(latest)
  const [, again] = useState(0)

  useEffect(() => {
    const scroller = box.current?.closest('main')
    if (!scroller) return
    const scrolled = () => {
      const above = scroller.getBoundingClientRect().top - box.current!.getBoundingClientRect().top
      setOn((old) => old.scrolled === above > SCROLLED ? old : { ...old, scrolled: above > SCROLLED })
    }
    scrolled()
    scroller.addEventListener('scroll', scrolled, { passive: true })
    return () => scroller.removeEventListener('scroll', scrolled)
  }, [])

  const { rows, fresh } = heldRows(kept.current, latest, rowKey, reading || on.hover || on.focus || on.scrolled)
  kept.current = rows
  const show = () => {
    kept.current = latest
    released?.()
    if (on.scrolled) box.current?.scrollIntoView({ block: 'start' })
    again((n) => n + 1)
  }
  const mouse = (hover: boolean) => (event: PointerEvent) => { if (event.pointerType === 'mouse') set({ hover }) }
  return (
    <div class="held" ref={box} onPointerEnter={mouse(true)} onPointerLeave={mouse(false)} onFocusIn={() => set({ focus: true })} onFocusOut={() => set({ focus: false })}>
      <div class="held-place">
        {fresh > 0 && <button type="button" class="pill" onClick={show}><Icon name="up" size={14} />{count(fresh)} new {fresh === 1 ? one : many}</button>}
      </div>
      {children(rows)}
    </div>
  )
}
