import { decideRenewal } from '../../plugins/renewal/policy.ts'
import { unseal } from '../../plugins/session/sealing.ts'
import { subjectIndex } from '../../plugins/session/session-indexes.ts'
import { heldToken, sessionRecord } from '../../plugins/session/session-record.ts'
import type { SessionReference } from '../../plugins/session/session-reference.ts'
import { createSessions } from '../../plugins/session/sessions.ts'
import { sessionKeys } from '../../plugins/session-store/redis-keys.ts'
import type { SealedRecord, SessionStore } from '../../plugins/session-store/store.ts'
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
import { createModelRedis, type ModelEvent } from './model-redis.ts'
import type { Fault, Incident, Plan } from './plan.ts'
import { createProcess, type GatewayProcess } from './process.ts'
import { createRedisLink, type Protections, type RedisLink } from './redis-link.ts'
import { accessTokenMs, clientId, issuerUrl, scheduledIssuer, subjectOf } from './scheduled-issuer.ts'
import { createVirtualTime } from './virtual-time.ts'

export const lockMs = 3 * issuerTimeoutMs
export const longestGrantMs = 2.5 * issuerTimeoutMs
export const sessionCount = 2
/** Later than the last lock and back-off. */
const aftermathMs = 120_000

/** Removes a mechanism that the renewer relies on, so that the simulation has a fault to find. */
export interface Weakness {
  /** Replaces one gateway's view of the shared store. */
  store?(store: SessionStore): SessionStore
  failover?: Protections
  /** Replaces parts of one gateway. */
  gateway?(parts: RenewalParts): RenewalParts
}

export interface Run {
  plan: Plan
  history: History
  issuer: ModelIssuer
  /** For each session at the end: the stored refresh token, if it lives, and the one the issuer would accept. */
  atEnd: { stored: string | undefined; current: string | undefined }[]
  /** When all events had run. */
  quietAt: number
  /** Requests for each session at a gateway that starts at the end. */
  aftermath: RequestOutcome[]
  hasCrashed(gateway: number): boolean
  /** Whether all events had run at the end. */
  quiet: boolean
  /** Gateways that still had a renewal under way at the end. */
  busy: number[]
}

/** Runs gateways that share a store and an issuer through a plan, until all events have run. */
export async function runPlan(plan: Plan, weakness: Weakness = {}): Promise<Run> {
  const time = createVirtualTime()
  const history = createHistory(time)
  const issuer = createModelIssuer()
  const downUntil = new Map<string, number>()
  // The process of the store, which never crashes.
  const machine = createProcess({ gateway: -1, time, jitter: 0, faults: [], onTrouble() {} })
  const { clock } = machine

  const opened = new Map<string, { session: number; key: Buffer }>()
  const redis = createModelRedis(time.now, {
    onStored: noteStored,
    onEnded: noteEnded,
  })
  const links: RedisLink[] = []
  const immediate: GatewayProcess = { ...machine, send: (_operation, { effect }) => effect(undefined) }
  const direct = createRedisLink({ redis, process: immediate, isDown: () => false })
  const sessions = createSessions({ store: direct.store, clock, ...lifetimes })
  const references: SessionReference[] = []
  for (let session = 0; session < sessionCount; session++) references.push(await signIn(session))

  const gateways = Array.from({ length: plan.gateways }, (_, number) => startGateway(number, plan.faults))
  for (const incident of plan.incidents) time.after(incident.atMs, () => startIncident(incident))
  const quiet = await time.run()
  const quietAt = time.now()
  const atEnd = references.map((_, session) => ({
    stored: stored(session)?.tokenSet.refreshToken,
    current: issuer.current(session),
  }))
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
    atEnd,
    aftermath: history.requests.slice(requestsBefore),
    hasCrashed: (number) => gateways[number]?.process.crashed ?? false,
    busy,
    quiet,
    quietAt,
  }

  async function signIn(session: number): Promise<SessionReference> {
    const expiresAt = clock.now() + plan.tokenLeftMs
    const tokenSet = {
      ...issuer.begin(session),
      tokenType: 'Bearer',
      obtainedAt: expiresAt - accessTokenMs,
      expiresAt,
    }
    const begun = await sessions.create({
      issuer: issuerUrl,
      subject: subjectOf(session),
      sid: `sid ${session}`,
      claims: {},
      tokenSet,
    })
    const { id, key } = begun.session
    opened.set(id, { session, key })
    history.stored.push({
      at: 0,
      gateway: -1,
      onOldMaster: false,
      session,
      version: 1,
      record: begun.session.record,
    })
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
        history.log(name, what)
      },
    })
    const link = createRedisLink({
      redis,
      process,
      isDown: () => isDown('store') || isDown(linkOf(number)),
      protections: weakness.failover,
    })
    links[number] = link
    return createGateway({
      process,
      history,
      store: weakness.store?.(link.store) ?? link.store,
      issuer: scheduledIssuer({
        issuer,
        process,
        history,
        time,
        isDown: () => isDown('issuer'),
        isEarly,
        timeoutMs: longestGrantMs,
      }),
      isAlive: async (session) =>
        stored(session) !== undefined && history.endings.every((ending) => ending.session !== session),
      weaken: weakness.gateway ?? ((parts) => parts),
    })
  }

  function startIncident(incident: Incident): void {
    const { happens } = incident
    if (happens === 'store outage') beDown('store', incident.ms)
    else if (happens === 'issuer outage') beDown('issuer', incident.ms)
    else if (happens === 'failover') failOver(incident)
    else affectGateway(incident)
  }

  function affectGateway(incident: Extract<Incident, { gateway: number }>): void {
    const gateway = gateways[incident.gateway]
    if (!gateway || gateway.process.crashed) return
    switch (incident.happens) {
      case 'crash':
        gateway.process.crash()
        break
      case 'freeze':
        gateway.process.freeze(incident.ms)
        break
      case 'cut off from the store':
        beDown(linkOf(incident.gateway), incident.ms, incident.gateway)
        break
      case 'logout':
        void gateway.logout(incident.session, referenceOf(incident.session))
        break
      case 'back-channel logout':
        void gateway.endAll(incident.session, subjectIndex(issuerUrl, clientId, subjectOf(incident.session)))
        break
      case 'request':
        void gateway.request(incident.session, referenceOf(incident.session), incident)
    }
  }

  function failOver({ lostMs, noticedAfterMs }: Extract<Incident, { happens: 'failover' }>): void {
    const noticedAt = time.now() + Math.max(...noticedAfterMs)
    history.failovers.push({ at: time.now(), lostFrom: time.now() - lostMs, noticedAt })
    history.log('store', `fails over to a replica that lacks the last ${lostMs} ms`)
    redis.failOver(lostMs)
    for (const [number, { process }] of gateways.entries()) {
      void process.clock.sleep(noticedAfterMs[number] ?? 0).then(() => {
        history.log(`gateway ${number}`, 'notices the failover')
        return links[number]?.move()
      })
    }
  }

  function noteStored(id: string, stored: SealedRecord, { by, onOldMaster }: ModelEvent): void {
    const { version } = stored
    const found = open(id, stored)
    if (!found) return
    history.stored.push({ at: time.now(), gateway: by, onOldMaster, version, ...found })
    history.log(
      onOldMaster ? 'old master' : 'store',
      `version ${version} of session ${found.session} has ${found.record.tokenSet.refreshToken}`,
    )
  }

  function noteEnded(id: string, last: SealedRecord, { by, onOldMaster }: ModelEvent, again: boolean): void {
    const found = open(id, last)
    if (!found) return
    const { session, record } = found
    history.log(onOldMaster ? 'old master' : 'store', `session ${session} ended${again ? ' here too' : ''}`)
    if (again) return
    const { refreshToken } = record.tokenSet
    history.endings.push({ at: time.now(), gateway: by, onOldMaster, session, refreshToken })
  }

  function open(id: string, { sealed, version }: SealedRecord) {
    const known = opened.get(id)
    const record = known && sessionRecord(unseal(sealed, { key: known.key, id, version }))
    return record && { session: known.session, record }
  }

  function beDown(what: string, ms: number, gateway: number | 'all' = 'all'): void {
    const until = time.now() + ms
    downUntil.set(what, Math.max(downUntil.get(what) ?? 0, until))
    history.troubles.push({ at: time.now(), until, gateway, crash: false })
    history.log(what, `is down for ${ms} ms`)
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

  function stored(session: number) {
    const [id] = [...opened].find(([, each]) => each.session === session) ?? []
    if (id === undefined) return undefined
    const found = redis.master().run('bffReadBuffer', sessionKeys(id), -1) as [Buffer, number] | [] | null
    const [sealed, version] = found ?? []
    return sealed && version !== undefined ? open(id, { sealed, version })?.record : undefined
  }

  async function busyGateways(): Promise<number[]> {
    const busy = await Promise.all(gateways.map((gateway) => gateway.isBusy()))
    return busy.flatMap((isBusy, number) => (isBusy && !gateways[number]?.process.crashed ? [number] : []))
  }
}

function linkOf(gateway: number): string {
  return `the link of gateway ${gateway} to the store`
}

function usedSessions({ incidents }: Plan): Set<number> {
  return new Set(incidents.flatMap((incident) => ('session' in incident ? [incident.session] : [])))
}
