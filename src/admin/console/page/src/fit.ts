// Which columns of a table have room, and how wide they are. Pure.

/** The least width of a column with names, in pixels: twelve characters, and the space beside them. */
export const NAME_MIN = 132

export type Sized = {
  /** Pixels for what has a known length, such as numbers. `auto` or a part of the table for names. */
  width: string
  roomy?: boolean
  /** The least width of `auto`, in pixels, while there are roomy columns that can be left out. */
  least?: number
}

export type Fit = {
  /** Of each column: its width, or null if it is left out. */
  widths: (string | null)[]
  /** The least width of the table with the columns that are left. */
  needs: number
}

/** Leaves out the last roomy columns until the others fit, and gives no column with names less than its least width. */
export function fit (columns: Sized[], room: number): Fit {
  const width = (text: string) => text.endsWith('px') ? parseFloat(text) : text.endsWith('%') ? Math.max(NAME_MIN, room * parseFloat(text) / 100) : NAME_MIN
  const shown = columns.map(() => true)
  const sum = (of: (column: Sized) => number) => columns.reduce((all, column, index) => all + (shown[index] ? of(column) : 0), 0)
  const needs = () => sum((column) => width(column.width))
  const wants = () => sum((column) => Math.max(width(column.width), column.least ?? 0))
  for (let index = columns.length - 1; index >= 0 && wants() > room; index -= 1) {
    if (columns[index]!.roomy) shown[index] = false
  }
  return {
    widths: columns.map((column, index) => !shown[index] ? null : column.width.endsWith('%') ? `${width(column.width)}px` : column.width),
    needs: needs()
  }
}
