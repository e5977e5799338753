// The scale of a chart's vertical axis. Pure.

const STEPS = [1, 1.5, 2, 3, 4, 5, 6, 8]

/** The lowest round number (such as 1.5, 20 or 600) that is at least `value`, and whose half is a multiple of `unit`. */
export function roundTop (value: number, unit = 0): number {
  if (!(value > 0)) return 1
  const isExact = (half: number) => unit === 0 || Math.abs(half / unit - Math.round(half / unit)) < 1e-9
  for (let power = 10 ** Math.floor(Math.log10(value)); ; power *= 10) {
    const step = STEPS.find((one) => one * power >= value * (1 - 1e-9) && isExact(one * power / 2))
    if (step) return step * power
  }
}
