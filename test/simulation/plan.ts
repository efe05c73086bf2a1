import fc from 'fast-check'

/**
 * The incidents of one run of the simulation, as independent parts, each of which can be left out
 * without moving the others, so that shrinking makes a failing plan short.
 */
export interface Plan {
  gateways: number
  /** Remaining lifetime of each session's first access token. */
  tokenLeftMs: number
  /** 0: every message takes 1 ms; else each takes 1 to 20 ms, as drawn from this seed. */
  jitter: number
  incidents: Incident[]
  faults: Fault[]
}

export type Incident = { atMs: number } & (
  | {
      happens: 'request'
      gateway: number
      session: number
      /** An API with tokens of its own. */
      resource: string | undefined
      refusedAfterMs: number | undefined
    }
  | { happens: 'logout' | 'back-channel logout'; gateway: number; session: number }
  | { happens: 'crash'; gateway: number }
  | { happens: 'freeze'; gateway: number; ms: number }
  | { happens: 'cut off from the store'; gateway: number; ms: number }
  | { happens: 'store outage'; ms: number }
  | { happens: 'issuer outage'; ms: number }
  | {
      /** A replica takes the master's place. */
      happens: 'failover'
      /** Writes of the last so many milliseconds are lost. */
      lostMs: number
      /** After what time each gateway notices. Until then it uses the old master, which goes on acknowledging. */
      noticedAfterMs: number[]
    }
)

export const operations = [
  'read',
  'lock',
  'replace',
  'destroy',
  'release',
  'extend',
  'backOff',
  'changed',
  'addMarker',
  'index',
  'putBack',
  'refresh',
  'revoke',
] as const
export type Operation = (typeof operations)[number]

/** Affects one operation of its kind on one gateway, counted from 0, or the first few. */
export interface Fault {
  gateway: number
  operation: Operation
  which: number | 'first few'
  kind: FaultKind
  ms: number
}

export const faultKinds = [
  /** It arrives late. */
  'slow request',
  /** It takes effect, and the answer arrives late. */
  'slow answer',
  /** It never arrives, which the gateway notices after `ms`. */
  'lost request',
  /** It takes effect, but the gateway considers it lost after `ms`. */
  'lost answer',
  /** The gateway soon considers it lost, but it takes effect after `ms`. */
  'late effect',
  'crash before it is sent',
  'crash when it has taken effect',
  'freeze once it is sent',
] as const
/** Faults of the issuer in a refresh token grant. */
export const grantFaultKinds = [
  'answered 503',
  'answered 429',
  'refresh token omitted',
  'short-lived token',
  'foreign ID token',
] as const
export type FaultKind = (typeof faultKinds)[number] | (typeof grantFaultKinds)[number]

/** Durations near timeouts, locks and token lifetimes, and some between. */
const durations = [1, 10, 100, 400, 900, 2_000, 4_000, 6_000, 11_000, 14_000, 16_000, 25_000, 45_000]
const times = [
  0, 1, 5, 12, 40, 300, 1_000, 3_000, 8_000, 14_000, 15_500, 17_000, 20_000, 26_000, 31_000, 50_000,
]

export function plans({ gateways = 4 } = {}): fc.Arbitrary<Plan> {
  const gateway = fc.oneof(fc.nat({ max: Math.min(1, gateways - 1) }), fc.nat({ max: gateways - 1 }))
  const session = fc.constantFrom(0, 0, 0, 1)
  const ms = fc.constantFrom(...durations)
  const atMs = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...times) },
    { weight: 1, arbitrary: fc.nat({ max: 60_000 }) },
  )

  const request = fc.record({
    atMs,
    happens: fc.constant('request' as const),
    gateway,
    session,
    resource: fc.constantFrom(undefined, undefined, undefined, 'orders'),
    refusedAfterMs: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.constantFrom(5, 300, 20_000) },
    ),
  })
  const rarer = fc.oneof(
    {
      weight: 2,
      arbitrary: fc.record({
        atMs,
        happens: fc.constantFrom('logout', 'back-channel logout'),
        gateway,
        session,
      }),
    },
    fc.record({ atMs, happens: fc.constant('crash' as const), gateway }),
    fc.record({ atMs, happens: fc.constantFrom('freeze', 'cut off from the store'), gateway, ms }),
    fc.record({ atMs, happens: fc.constantFrom('store outage', 'issuer outage'), ms }),
    {
      weight: 2,
      arbitrary: fc.record({
        atMs,
        happens: fc.constant('failover' as const),
        lostMs: fc.constantFrom(0, 10, 50, 300, 1_000, 3_000, 6_000),
        noticedAfterMs: fc.array(fc.constantFrom(0, 1, 20, 300, 1_000, 2_000), {
          minLength: gateways,
          maxLength: gateways,
        }),
      }),
    },
  )
  const which = fc.oneof(fc.nat({ max: 2 }), fc.nat({ max: 9 }), fc.constant('first few' as const))
  const fault = fc.oneof(
    // The lock holder is delayed, for longer than the lock lasts or nearly so.
    fc.record({
      gateway,
      operation: fc.constantFrom('refresh', 'replace'),
      which,
      kind: fc.constantFrom('slow request', 'slow answer', 'freeze once it is sent'),
      ms: fc.constantFrom(2_000, 4_000, 11_000, 14_000, 16_000),
    }),
    fc.record({
      gateway,
      operation: fc.constantFrom(...operations.filter((operation) => operation !== 'putBack')),
      which,
      kind: fc.constantFrom(...faultKinds),
      ms,
    }),
    // Other faults of a restoring command end its connection.
    fc.record({
      gateway,
      operation: fc.constant('putBack' as const),
      which,
      kind: fc.constantFrom(
        'crash before it is sent',
        'crash when it has taken effect',
        'freeze once it is sent',
      ),
      ms,
    }),
    fc.record({
      gateway,
      operation: fc.constant('refresh' as const),
      which,
      kind: fc.constantFrom(...grantFaultKinds, ...faultKinds),
      ms,
    }),
  )

  return fc.record({
    gateways: fc.integer({ min: 1, max: gateways }),
    tokenLeftMs: fc.constantFrom(0, 4_000, 10_000, 20_000),
    jitter: fc.nat(),
    incidents: fc
      .tuple(fc.array(request, { minLength: 1, maxLength: 12 }), fc.array(rarer, { maxLength: 3 }))
      .map((parts) => parts.flat().sort((a, b) => a.atMs - b.atMs)),
    faults: fc.array(fault, { maxLength: 6 }),
  })
}

export function describePlan({ gateways, tokenLeftMs, jitter, incidents, faults }: Plan): string {
  return [
    `${gateways} gateways; access tokens begin with ${tokenLeftMs} ms left; jitter ${jitter}`,
    ...incidents.map(({ atMs, ...incident }) => `at ${atMs} ms: ${describeIncident(incident)}`),
    ...faults.map(
      ({ gateway, operation, which, kind, ms }) =>
        `gateway ${gateway}, ${which === 'first few' ? `first few ${operation}s` : `${operation} number ${which}`}: ${kind}, ${ms} ms`,
    ),
  ].join('\n')
}

function describeIncident({ happens, ...details }: Omit<Incident, 'atMs'>): string {
  const rest = Object.entries(details).filter(([, value]) => value !== undefined)
  return [happens, ...rest.map(([name, value]) => `${name} ${value}`)].join(', ')
}
