import { LRUCache } from 'lru-cache'
import type { Clock } from '../../lib/clock.ts'
import type { SessionStore } from '../session-store/store.ts'

/**
 * `idle`, `lifetime`: its time was up. `lost`: the store lost it. `evicted`: the memory of a gateway without Redis was
 * full.
 */
export type FoundEndReason = (typeof foundEndReasons)[number]

const foundEndReasons = ['idle', 'lifetime', 'lost', 'evicted'] as const

/** Whether endings for this reason are only found later, by a request. */
export function isFoundEnd(reason: string | undefined): reason is FoundEndReason {
  return foundEndReasons.some((each) => each === reason)
}

/** What is known of a session whose record is gone. */
export interface Traces {
  /** Key of its record in the store. */
  id: string
  /** When its cookie was made, in milliseconds since the epoch. Undefined: not known. */
  startedAt: number | undefined
  /** Until when it would have lived, as this process saw it last. Undefined: this process has not seen it. */
  aliveUntil: number | undefined
}

export interface FoundEnds {
  /**
   * Why a session without a record has ended.
   * @returns undefined if its end was reported already: when it was ended, or by the first request that found this out
   */
  reasonOf(session: Traces): Promise<FoundEndReason | undefined>
  /** Whether this caller is the first of all processes to report this end. */
  claim(id: string): Promise<boolean>
}

export interface FoundEndsOptions {
  store: Pick<SessionStore, 'read' | 'endReason' | 'addMarker'>
  clock: Pick<Clock, 'now'>
  idleTimeoutMs: number
  lifetimeMs: number
}

/** After this time the same ended session may be reported again, in milliseconds. */
const reportedOnceInMs = 24 * 3_600_000

/** Number of ended sessions that this process remembers, so that it need not ask the store about them again. */
const maxRemembered = 10_000

/** A cookie's time is in whole seconds, and a little later than that of its session. */
const toleranceMs = 5000

/**
 * Nothing in the store says that a session has expired or was lost. A request that comes with its cookie finds that out,
 * and reports it.
 */
export function createFoundEnds({ store, clock, idleTimeoutMs, lifetimeMs }: FoundEndsOptions): FoundEnds {
  const reported = new LRUCache<string, true>({ max: maxRemembered })

  return { reasonOf, claim }

  async function reasonOf(session: Traces): Promise<FoundEndReason | undefined> {
    const { id } = session
    if (reported.has(id)) return undefined
    const given = await store.endReason(id)
    if (given !== undefined && !isFoundEnd(given)) {
      reported.set(id, true)
      return undefined
    }
    const reason = given ?? lapse(session, clock.now())
    // With a record it can only have outlived its lifetime: otherwise the record can't be read by this version.
    if (reason !== 'lifetime' && (await store.read(id))) return undefined
    return (await claim(id)) ? reason : undefined
  }

  async function claim(id: string): Promise<boolean> {
    if (reported.has(id)) return false
    reported.set(id, true)
    return store.addMarker(`end-reported:${id}`, reportedOnceInMs)
  }

  /** `lost` only if its time can't have been up: the store remembers deliberate ends for that long. */
  function lapse({ startedAt, aliveUntil = 0 }: Traces, now: number): 'idle' | 'lifetime' | 'lost' {
    if (startedAt === undefined) return now < aliveUntil ? 'lost' : 'idle'
    if (now >= startedAt + lifetimeMs - toleranceMs) return 'lifetime'
    return now < Math.max(aliveUntil, startedAt + idleTimeoutMs - toleranceMs) ? 'lost' : 'idle'
  }
}
