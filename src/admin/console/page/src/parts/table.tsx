// The table of every view: fixed columns, so that nothing moves when numbers change; stacked rows on a narrow
// screen.

import type { ComponentChildren } from 'preact'

/** The most rows that are drawn; a filter finds the others. */
export const ROWS_MAX = 200

export type Column<Row> = {
  head: string
  /** The width: `auto` takes what is left. */
  width: string
  number?: boolean
  cell: (row: Row) => ComponentChildren
  /** How a narrow screen shows the column: as the row's title, or else below the title with its head. */
  narrow?: 'title'
  /** Whether the column is left out where the table has little room; the detail of the row has its value. */
  roomy?: boolean
}

export function Table<Row> ({ caption, columns, rows, rowKey, open, selected, minWidth, max = ROWS_MAX, class: className }: {
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
  class?: string
}) {
  const shown = rows.slice(0, max)
  return (
    <div class="table-box" tabIndex={minWidth ? 0 : undefined} role={minWidth ? 'region' : undefined}
      aria-label={minWidth ? caption : undefined}>
      {/* The roles stand here because a browser drops those of a table whose rows are stacked with CSS. */}
      <table role="table" class={`table ${minWidth ? '' : 'stacks'} ${className ?? ''}`} style={minWidth ? { minWidth: `${minWidth}px` } : undefined}>
        <caption class="sr">{caption}</caption>
        <colgroup>{columns.map(({ head, width, roomy }) => <col key={head} class={roomy ? 'roomy' : undefined} style={{ width }} />)}</colgroup>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => <th key={column.head} role="columnheader" scope="col" class={classOf(column)}>{column.head}</th>)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {shown.map((row) => {
            const key = rowKey(row)
            return (
              <tr key={key} role="row" onClick={open && ((event) => clickOpens(event, () => open(row)))}
                class={(open ? 'opens ' : '') + (selected === key ? 'selected' : '')}>
                {columns.map((column) => (
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

function classOf<Row> ({ number, narrow, roomy }: Column<Row>): string | undefined {
  return [number && 'number', narrow && `narrow-${narrow}`, roomy && 'roomy'].filter(Boolean).join(' ') || undefined
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
