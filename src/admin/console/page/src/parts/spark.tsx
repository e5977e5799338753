// A small line of recent values. The number beside it says what it shows.

const WIDTH = 120
const HEIGHT = 24
/** The most values that are drawn: as many as a history or a list of latencies has. */
const STEPS_MAX = 512

/** The values fill the width, however few they are: what stands beside them says which time they cover. */
export function Spark ({ values }: { values: number[] }) {
  const shown = values.slice(-STEPS_MAX)
  const top = Math.max(...shown, 0) || 1
  const x = (index: number) => WIDTH * index / Math.max(1, shown.length - 1)
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
