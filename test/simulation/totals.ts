import type { Run } from './world.ts'

/** Counts of what the simulation has covered. */
export function noTotals() {
  return {
    requests: 0,
    'requests with a token': 0,
    'requests answered 401': 0,
    'requests answered 503': 0,
    grants: 0,
    'tokens stored': 0,
    'grants with an unknown fate': 0,
    'grants asked for early': 0,
    'spent refresh tokens used again': 0,
    'sessions ended': 0,
    'outages, freezes and faults': 0,
    crashes: 0,
    failovers: 0,
  }
}

export function addRun(totals: ReturnType<typeof noTotals>, { history, issuer }: Run): void {
  const { requests, attempts, stored, endings, troubles, failovers } = history
  const codes = requests.map(({ outcome }) => outcome ?? '')
  totals.requests += requests.length
  totals['requests with a token'] += count(codes, (code) => code === 'token')
  totals['requests answered 401'] += count(codes, (code) => code.startsWith('BFF_SESSION'))
  totals['requests answered 503'] += count(codes, (code) => code.endsWith('UNAVAILABLE'))
  totals.grants += attempts.length
  totals['tokens stored'] += count(stored, ({ version }) => version > 1)
  totals['grants with an unknown fate'] += count(
    attempts,
    ({ verdict, answer }) => verdict === 'granted' && answer !== 'granted',
  )
  totals['grants asked for early'] += count(attempts, ({ early }) => early)
  totals['spent refresh tokens used again'] += issuer.reuses
  totals['sessions ended'] += endings.length
  totals['outages, freezes and faults'] += count(troubles, ({ crash }) => !crash)
  totals.failovers += failovers.length
  totals.crashes += count(troubles, ({ crash }) => crash)
}

function count<T>(items: T[], matches: (item: T) => boolean): number {
  return items.filter(matches).length
}
