// A small line of recent values. The number beside it says what it shows.

const WIDTH = 120
const HEIGHT = 24

export function Spark ({ values, steps = 120 }: { values: number[]; steps?: number }) {
  const shown = values.slice(-steps)
  const top = Math.max(...shown, 0) || 1
  const x = (index: number) => WIDTH * (index + steps - shown.length) / Math.max(1, steps - 1)
  const y = (value: number) => HEIGHT - 1.5 - (HEIGHT - 3) * value / top
  const line = shown.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join('L')
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
      {shown.length > 1 && <>
        <path class="spark-area" d={`M${x(0).toFixed(1)},${HEIGHT}L${line}L${WIDTH},${HEIGHT}Z`} />
        <path class="spark-line" d={`M${line}`} />
      </>}
    </svg>
  )
}
