// The scale of a chart's vertical axis. Pure.

/** The lowest round number (such as 1.5, 20 or 600) that is at least `value`. */
export function roundTop (value: number): number {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((one) => one * power >= value * (1 - 1e-9)) ?? 10
  return step * power
}
