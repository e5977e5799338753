// The rows of a list that is asked for again and again: while somebody reads, they stay as they are. Pure.

/** The rows to show, and how many of the latest ones are held back. */
export function heldRows<Row> (shown: Row[], latest: Row[], rowKey: (row: Row) => string, hold: boolean): { rows: Row[]; fresh: number } {
  if (!hold || !shown.length) return { rows: latest, fresh: 0 }
  const known = new Set(shown.map(rowKey))
  return { rows: shown, fresh: latest.filter((row) => !known.has(rowKey(row))).length }
}
