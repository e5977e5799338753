// A chart of the last minutes. SVG, so the style sheet colours it; its last and highest values are also given
// in words.

import { useEffect, useRef, useState } from 'preact/hooks'
import { clock } from '../format'
import { roundTop } from '../scale'

const HEIGHT = 150
const LEFT = 64
const BOTTOM = 20
const TOP = 8
/** The width that one time below the chart needs. */
const LABEL_WIDTH = 90
/** Below this span, the times below the chart have seconds. */
const SHORT_MS = 300_000

export function Chart ({ title, times, values, format, unit = 0 }: {
  title: string
  /** Unix milliseconds, one for each value. */
  times: number[]
  values: number[]
  format: (value: number) => string
  /** The least difference that `format` shows: the label in the middle must be true. */
  unit?: number
}) {
  const box = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(480)
  const [at, setAt] = useState<number | null>(null)
  useEffect(() => {
    if (!box.current) return
    const sized = new ResizeObserver(([entry]) => setWidth(Math.max(200, Math.floor(entry!.contentRect.width))))
    sized.observe(box.current)
    return () => sized.disconnect()
  }, [])

  const last = values.length - 1
  const highest = Math.max(0, ...values)
  const top = roundTop(highest, unit)
  const x = (index: number) => LEFT + (width - LEFT - 4) * index / Math.max(1, last)
  const y = (value: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)
  const line = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join('L')
  const labels = Math.max(2, Math.floor((width - LEFT) / LABEL_WIDTH))
  const labelled = Array.from({ length: labels }, (_, n) => Math.round(last * n / (labels - 1)))

  const isShort = (times[last] ?? 0) - (times[0] ?? 0) < SHORT_MS
  const label = (at: number) => isShort ? clock(at) : clock(at).slice(0, 5)

  const point = (event: PointerEvent) => {
    const left = (event.currentTarget as Element).getBoundingClientRect().left
    const index = Math.round((event.clientX - left - LEFT) / (width - LEFT - 4) * last)
    setAt(Math.min(last, Math.max(0, index)))
  }
  const shown = at !== null && at <= last ? at : null
  const words = `now ${format(values[last] ?? 0)}, highest ${format(highest)}`
  return (
    <figure class="chart">
      <figcaption>
        <span>{title}</span>
        <span class="chart-words">{shown === null ? words : `${clock(times[shown]!)}: ${format(values[shown]!)}`}</span>
      </figcaption>
      <div ref={box}>
        <svg width={width} height={HEIGHT} role="img" aria-label={`${title}: ${words}`} onPointerMove={point} onPointerLeave={() => setAt(null)}>
          {[0, 0.5, 1].map((part) => (
            <g key={part}>
              <line class="chart-grid" x1={LEFT} x2={width} y1={y(top * part)} y2={y(top * part)} />
              <text class="chart-label" x={LEFT - 8} y={y(top * part) + 4} text-anchor="end">{format(top * part)}</text>
            </g>
          ))}
          {labelled.map((index, n) => (
            <text key={n} class="chart-label" x={x(index)} y={HEIGHT - 4} text-anchor={n === 0 ? 'start' : n === labels - 1 ? 'end' : 'middle'}>
              {times[index] === undefined ? '' : label(times[index])}
            </text>
          ))}
          <path class="spark-area" d={`M${LEFT},${y(0)}L${line}L${x(last).toFixed(1)},${y(0)}Z`} />
          <path class="spark-line" d={`M${line}`} />
          {shown !== null && <>
            <line class="chart-cursor" x1={x(shown)} x2={x(shown)} y1={TOP} y2={y(0)} />
            <circle class="chart-dot" cx={x(shown)} cy={y(values[shown]!)} r="3.5" />
          </>}
        </svg>
      </div>
    </figure>
  )
}
