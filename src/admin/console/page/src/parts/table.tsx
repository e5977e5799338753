// The table of every view: fixed columns, so that nothing moves when numbers change; stacked rows on a narrow
// screen.

import type { ComponentChildren, RefObject } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { fit } from '../fit'

/** The most rows that are drawn; a filter finds the others. */
export const ROWS_MAX = 200

export type Column<Row> = {
  head: string
  /** The width: pixels, or for names `auto`, which takes what is left, or a part of the table. See `fit`. */
  width: string
  number?: boolean
  cell: (row: Row) => ComponentChildren
  /** How a narrow screen shows the column: as the row's title, or else below the title with its head. */
  narrow?: 'title'
  /** Whether the column is left out where the table has little room, the last first; the row's detail has its value. */
  roomy?: boolean
  /** The least width of names, in pixels, before columns are left out for them. */
  least?: number
}

export function Table<Row> ({ caption, columns, rows, rowKey, open, selected, minWidth, max = ROWS_MAX, inPlace, class: className }: {
  /** What the table holds, for screen readers. */
  caption: string
  columns: Column<Row>[]
  rows: Row[]
  rowKey: (row: Row) => string
  /** Opens a row; the cell with the row's title must then hold a button or link for the keyboard. */
  open?: (row: Row) => void
  selected?: string | null
  /** Below this width the table scrolls inside its box. */
  minWidth?: number
  /** The most rows that are drawn. */
  max?: number
  /** Whether rows keep their places and change what they show when new ones come first, instead of moving down. */
  inPlace?: boolean
  class?: string
}) {
  const shown = rows.slice(0, max)
  const box = useRef<HTMLDivElement>(null)
  const room = useRoom(box)
  const space = minWidth == null ? room : Math.max(minWidth, room ?? 0)
  const fits = space == null ? null : fit(columns, space)
  const least = minWidth != null || (fits && fits.needs > space!) ? Math.max(minWidth ?? 0, fits!.needs) : undefined
  const width = (index: number) => fits ? fits.widths[index] ?? null : columns[index]!.width
  const drawn = columns.filter((_column, index) => width(index) != null)
  return (
    <div class="table-box" ref={box} tabIndex={least ? 0 : undefined} role={least ? 'region' : undefined}
      aria-label={least ? caption : undefined}>
      {/* The roles stand here because a browser drops those of a table whose rows are stacked with CSS. */}
      <table role="table" class={`table ${minWidth ? '' : 'stacks'} ${className ?? ''}`} style={least ? { minWidth: `${least}px` } : undefined}>
        <caption class="sr">{caption}</caption>
        <colgroup>{columns.flatMap(({ head }, index) => width(index) == null ? [] : [<col key={head} style={{ width: width(index)! }} />])}</colgroup>
        <thead role="rowgroup">
          <tr role="row">
            {drawn.map((column) => <th key={column.head} role="columnheader" scope="col" class={classOf(column)}>{column.head}</th>)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {shown.map((row, index) => {
            const key = rowKey(row)
            return (
              <tr key={inPlace ? index : key} role="row" onClick={open && ((event) => clickOpens(event, () => open(row)))}
                class={(open ? 'opens ' : '') + (selected === key ? 'selected' : '')}>
                {drawn.map((column) => (
                  <td key={column.head} role="cell" data-label={column.head} class={classOf(column)}>{column.cell(row)}</td>
                ))}
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

/** The width that the table has; null on a narrow screen, where its rows are stacked, and before it is known. */
function useRoom (box: RefObject<HTMLDivElement | null>): number | null {
  const [room, setRoom] = useState<number | null>(null)
  useLayoutEffect(() => {
    const one = box.current
    if (!one) return
    const measure = () => {
      const { paddingLeft, paddingRight } = getComputedStyle(one)
      const inside = one.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight)
      setRoom(matchMedia('(max-width: 800px)').matches ? null : inside)
    }
    measure()
    const sized = new ResizeObserver(measure)
    sized.observe(one)
    return () => sized.disconnect()
  }, [])
  return room
}

function classOf<Row> ({ number, narrow, width }: Column<Row>): string | undefined {
  return [number && 'number', narrow && `narrow-${narrow}`, !width.endsWith('px') && 'names'].filter(Boolean).join(' ') || undefined
}

/** Opens the row, unless the click hit what has a click of its own, or ended a selection of text. */
function clickOpens (event: MouseEvent, open: () => void) {
  const target = event.target as HTMLElement
  if (target.closest('button, a, input, summary')) return
  if (getSelection()?.toString()) return
  open()
}

/** Says that not all rows are drawn. */
export function RowsNote ({ total, what }: { total: number; what: string }) {
  return total > ROWS_MAX
    ? <p class="note">The first {ROWS_MAX} of {total.toLocaleString('en-US')} {what} are shown. Use the filter to find others.</p>
    : null
}
