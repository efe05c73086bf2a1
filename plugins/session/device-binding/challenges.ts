import { randomBytes } from 'node:crypto'
import type { Clock } from '../../../lib/clock.ts'
import { isNumber, isString } from '../../../lib/type-guards.ts'
import type { SessionStore } from '../../session-store/store.ts'
import { readReference, type SessionReference } from '../session-reference.ts'
import { createSealedValues } from './sealed-values.ts'
import { clockSkewMs, isCurrent } from './times.ts'

/**
 * Challenges that a device signs. They are sealed, so that any gateway with the same keys can check one that another has
 * made, and nothing is stored until one is used.
 */
export interface Challenges {
  /**
   * A challenge for a registration. It contains the session's reference: browsers don't send a Strict cookie with a
   * registration that follows a login at an issuer on another site.
   */
  forRegistration(reference: SessionReference): string
  /** @param sessionId {@link Session.id} */
  forRefresh(sessionId: string): string
  /** Undefined if it is not one of ours, has expired or is for a refresh. */
  openRegistration(challenge: unknown): Challenge<SessionReference> | undefined
  /** Undefined if it is not one of ours, has expired or is for a registration. */
  openRefresh(challenge: string): Challenge<string> | undefined
}

export interface Challenge<About> {
  about: About
  /**
   * Marks it as used, for all gateways that share a store.
   * @returns false if it was used before
   * @throws StoreUnavailableError
   */
  use(): Promise<boolean>
}

export interface ChallengesOptions {
  /** The first seals, all open. */
  keys: Buffer[]
  store: Pick<SessionStore, 'addMarker'>
  clock: Clock
  lifetimeMs: number
}

export function createChallenges({ keys, store, clock, lifetimeMs }: ChallengesOptions): Challenges {
  const sealed = createSealedValues(keys, 'device binding challenge')

  return {
    forRegistration: ({ id, key }) => create({ id, key }),
    forRefresh: (session) => create({ session }),
    openRegistration(challenge) {
      const opened = open(challenge)
      const about = opened && readReference(opened.about)
      return about && { about, use: opened.use }
    },
    openRefresh(challenge) {
      const opened = open(challenge)
      const session = opened?.about['session']
      return opened && isString(session) ? { about: session, use: opened.use } : undefined
    },
  }

  function create(about: object): string {
    return sealed.seal({ ...about, jti: randomBytes(16).toString('base64url'), issuedAt: clock.now() })
  }

  function open(challenge: unknown): Challenge<Record<string, unknown>> | undefined {
    const { jti, issuedAt, ...about } = (isString(challenge) && sealed.open(challenge)) || {}
    if (!isString(jti) || !isNumber(issuedAt) || !isCurrent(issuedAt, lifetimeMs, clock.now()))
      return undefined
    // Remembered for longer than it lives, since another gateway's clock may be behind.
    return { about, use: () => store.addMarker(`device-challenge:${jti}`, 2 * lifetimeMs + clockSkewMs) }
  }
}
