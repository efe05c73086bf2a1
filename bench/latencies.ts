/** Milliseconds that requests took. */
export interface Latencies {
  count: number
  p50: number
  p99: number
  max: number
}

export function latencies(samples: number[]): Latencies {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

export function median(samples: number[]): number {
  return latencies(samples).p50
}
