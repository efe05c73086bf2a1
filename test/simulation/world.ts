import { heldToken } from '../../plugins/renewal/held-token.ts'
import { decideRenewal } from '../../plugins/renewal/policy.ts'
import { unseal } from '../../plugins/session/sealing.ts'
import { sessionRecord } from '../../plugins/session/session-record.ts'
import { createSessions, type SessionReference, subjectIndex } from '../../plugins/session/sessions.ts'
import { createMemoryStore } from '../../plugins/session-store/memory.ts'
import type { SessionStore } from '../../plugins/session-store/store.ts'
import {
  createGateway,
  type Gateway,
  issuerTimeoutMs,
  lifetimes,
  type RenewalParts,
  refreshBeforeExpirationMs,
  renewable,
  targetOf,
} from './gateway.ts'
import { createHistory, type History, type RequestOutcome } from './history.ts'
import { createModelIssuer, type ModelIssuer } from './model-issuer.ts'
import type { Fault, Happening, Plan } from './plan.ts'
import { createProcess } from './process.ts'
import { accessTokenMs, clientId, issuerUrl, scheduledIssuer, subjectOf } from './scheduled-issuer.ts'
import { scheduledStore, watchedStore } from './scheduled-store.ts'
import { createVirtualTime } from './virtual-time.ts'

export const lockMs = 3 * issuerTimeoutMs
export const longestGrantMs = 2.5 * issuerTimeoutMs
export const sessionCount = 2
/** Long after the last lock and back-off. */
const aftermathMs = 120_000

/** Takes away something that the renewer relies on, so that the simulation has something to find. */
export interface Weakness {
  /** Of the store that all share. */
  store?(store: SessionStore): SessionStore
  /** Of one gateway. */
  gateway?(parts: RenewalParts): RenewalParts
}

export interface Run {
  plan: Plan
  history: History
  issuer: ModelIssuer
  /** Of each session, when all is quiet: the stored refresh token, if it lives, and the one the issuer would take. */
  atLast: { stored: string | undefined; current: string | undefined }[]
  /** What a gateway that starts when all is quiet makes of each session. */
  aftermath: RequestOutcome[]
  hasCrashed(gateway: number): boolean
  /** Nothing was left to happen at last. */
  quiet: boolean
  /** Gateways that had a renewal under way when nothing was left to happen. */
  busy: number[]
}

/** Runs gateways that share a store and an issuer through a plan, until nothing is left to happen. */
export async function runPlan(plan: Plan, weakness: Weakness = {}): Promise<Run> {
  const time = createVirtualTime()
  const history = createHistory(time)
  const issuer = createModelIssuer()
  const downUntil = new Map<string, number>()
  // Of the machine that the store is on: it never crashes.
  const { clock } = createProcess({ gateway: -1, time, jitter: 0, faults: [], onTrouble() {} })

  const opened = new Map<string, { session: number; key: Buffer }>()
  const watched = watchedStore(createMemoryStore({ clock, maxSessions: 100 }), history, time, opened)
  const shared = weakness.store?.(watched) ?? watched
  const sessions = createSessions({ store: watched, clock, ...lifetimes })
  const references: SessionReference[] = []
  for (let session = 0; session < sessionCount; session++) references.push(await signIn(session))

  const gateways = Array.from({ length: plan.gateways }, (_, number) => startGateway(number, plan.faults))
  for (const happening of plan.happenings) time.after(happening.atMs, () => happen(happening))
  const quiet = await time.run()
  const atLast = await Promise.all(
    references.map(async (_, session) => ({
      stored: (await stored(session))?.tokenSet.refreshToken,
      current: issuer.current(session),
    })),
  )
  const busy = await busyGateways()

  const requestsBefore = history.requests.length
  const late = startGateway(plan.gateways, [])
  time.after(aftermathMs, () => {
    for (const session of usedSessions(plan)) void late.request(session, referenceOf(session))
  })
  if (quiet) await time.run()

  return {
    plan,
    history,
    issuer,
    atLast,
    aftermath: history.requests.slice(requestsBefore),
    hasCrashed: (number) => gateways[number]?.process.crashed ?? false,
    busy,
    quiet,
  }

  async function signIn(session: number): Promise<SessionReference> {
    const expiresAt = clock.now() + plan.tokenLeftMs
    const tokenSet = {
      ...issuer.begin(session),
      tokenType: 'Bearer',
      obtainedAt: expiresAt - accessTokenMs,
      expiresAt,
    }
    const begun = await sessions.begin({
      issuer: issuerUrl,
      subject: subjectOf(session),
      sid: `sid ${session}`,
      claims: {},
      tokenSet,
    })
    const { id, key } = begun.session
    opened.set(id, { session, key })
    history.stored.push({ at: 0, session, version: 1, record: begun.session.record })
    return begun.reference
  }

  function startGateway(number: number, faults: Fault[]): Gateway {
    const name = `gateway ${number}`
    const process = createProcess({
      gateway: number,
      time,
      jitter: plan.jitter,
      faults,
      onTrouble(what, until, crash) {
        history.troubles.push({ at: time.now(), until, gateway: number, crash })
        history.tell(name, what)
      },
    })
    return createGateway({
      process,
      history,
      store: scheduledStore(shared, process, () => isDown('store') || isDown(linkOf(number))),
      issuer: scheduledIssuer({
        issuer,
        process,
        history,
        time,
        isDown: () => isDown('issuer'),
        isEarly,
        patienceMs: longestGrantMs,
      }),
      isAlive: async (session) => (await stored(session)) !== undefined,
      weaken: weakness.gateway ?? ((parts) => parts),
    })
  }

  function happen(happening: Happening): void {
    const { happens } = happening
    if (happens === 'store outage') beDown('store', happening.ms)
    else if (happens === 'issuer outage') beDown('issuer', happening.ms)
    else befall(happening)
  }

  function befall(happening: Extract<Happening, { gateway: number }>): void {
    const gateway = gateways[happening.gateway]
    if (!gateway || gateway.process.crashed) return
    switch (happening.happens) {
      case 'crash':
        gateway.process.crash()
        break
      case 'freeze':
        gateway.process.freeze(happening.ms)
        break
      case 'cut off from the store':
        beDown(linkOf(happening.gateway), happening.ms, happening.gateway)
        break
      case 'logout':
        void gateway.logout(happening.session, referenceOf(happening.session))
        break
      case 'back-channel logout':
        void gateway.endAll(
          happening.session,
          subjectIndex(issuerUrl, clientId, subjectOf(happening.session)),
        )
        break
      case 'request':
        void gateway.request(happening.session, referenceOf(happening.session), happening)
    }
  }

  function beDown(what: string, ms: number, gateway: number | 'all' = 'all'): void {
    const until = time.now() + ms
    downUntil.set(what, Math.max(downUntil.get(what) ?? 0, until))
    history.troubles.push({ at: time.now(), until, gateway, crash: false })
    history.tell(what, `is down for ${ms} ms`)
  }

  function isDown(what: string): boolean {
    return time.now() < (downUntil.get(what) ?? 0)
  }

  function referenceOf(session: number): SessionReference {
    const reference = references[session]
    if (!reference) throw new RangeError(`There is no session ${session}`)
    return reference
  }

  function isEarly(session: number, resource: string | undefined): boolean {
    const newest = history.stored.findLast((each) => each.session === session)
    const held = newest && heldToken(newest.record, targetOf(resource))
    if (!held) return false
    return decideRenewal(renewable(held), refreshBeforeExpirationMs, clock.now()) === 'use'
  }

  async function stored(session: number) {
    const [id, { key } = { key: Buffer.alloc(0) }] =
      [...opened].find(([, each]) => each.session === session) ?? []
    if (id === undefined) return undefined
    const found = await watched.read(id)
    return found && sessionRecord(unseal(found.sealed, { key, id, version: found.version }))
  }

  async function busyGateways(): Promise<number[]> {
    const busy = await Promise.all(gateways.map((gateway) => gateway.isBusy()))
    return busy.flatMap((isBusy, number) => (isBusy && !gateways[number]?.process.crashed ? [number] : []))
  }
}

function linkOf(gateway: number): string {
  return `the link of gateway ${gateway} to the store`
}

function usedSessions({ happenings }: Plan): Set<number> {
  return new Set(happenings.flatMap((happening) => ('session' in happening ? [happening.session] : [])))
}
