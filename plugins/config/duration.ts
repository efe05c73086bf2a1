import type { Parser } from './parsers.ts'

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads `500ms`, `15s`, `10m`, `8h` or `7d`, bounds included, as milliseconds. */
export function duration(minimum: string, maximum: string): Parser<number> {
  const [minimumMs, maximumMs] = [milliseconds(minimum), milliseconds(maximum)]
  return (text) => {
    if (/^[\d.]+$/.test(text)) throw new TypeError('lacks a unit: write 500ms, 15s, 10m, 8h or 7d')
    const ms = milliseconds(text)
    if (Number.isNaN(ms)) throw new TypeError('must be a duration such as 500ms, 15s, 10m, 8h or 7d')
    if (ms < minimumMs || ms > maximumMs) throw new TypeError(`must be from ${minimum} to ${maximum}`)
    return ms
  }
}

/** In the largest unit that needs no fraction. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  const [unit, size] = Object.entries(units).findLast(([, length]) => ms % length === 0) ?? ['ms', 1]
  return `${ms / size}${unit}`
}

function milliseconds(text: string): number {
  const [, count, unit] = /^(\d{1,15})(ms|s|m|h|d)$/.exec(text) ?? []
  return count && unit ? Number(count) * units[unit as keyof typeof units] : Number.NaN
}
