// A name that is shortened to what fits its place.

import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { shorten } from '../format'

/** One observer for all names: a table has hundreds. */
const fitted = new Map<Element, () => void>()
const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => fitted.get(target)?.()))

let ruler: CanvasRenderingContext2D | null = null

/** How many characters of a monospaced font fit. */
function room (box: HTMLElement): number {
  ruler ??= document.createElement('canvas').getContext('2d')
  const style = getComputedStyle(box)
  ruler!.font = `${style.fontSize} ${style.fontFamily}`
  return Math.floor((box.clientWidth + 0.5) / ruler!.measureText('0'.repeat(100)).width * 100)
}

/** A name in a table, shortened in the middle if it must be. The title has the whole name. */
export function Cut ({ text, title = text }: { text: string; title?: string }) {
  const box = useRef<HTMLSpanElement>(null)
  const [most, setMost] = useState(Infinity)
  useLayoutEffect(() => {
    const one = box.current!
    const measure = () => setMost(room(one))
    measure()
    fitted.set(one, measure)
    sizes.observe(one)
    return () => {
      sizes.unobserve(one)
      fitted.delete(one)
    }
  }, [])
  const short = shorten(text, most)
  return (
    <span class="cut mono" title={title} ref={box}>
      {short === text ? text : <><span aria-hidden="true">{short}</span><span class="sr">{text}</span></>}
    </span>
  )
}
