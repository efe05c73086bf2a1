import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { KoaContextWithOIDC } from 'oidc-provider'

/** One request to the token endpoint. */
export interface GrantEvent {
  type: 'grant'
  /** Milliseconds since the epoch. */
  at: number
  grantType: string
  clientId?: string
  outcome: 'success' | 'error'
  /** The OAuth error code. */
  error?: string
  /** Fingerprint of the refresh token that was sent. */
  refreshTokenHash?: string
  /** Fingerprint of the refresh token that was answered. */
  issuedRefreshTokenHash?: string
}

/** One request to the revocation endpoint. */
export interface RevocationEvent {
  type: 'revocation'
  at: number
  outcome: 'success' | 'error'
  tokenHash: string
}

export type IssuerEvent = GrantEvent | RevocationEvent

/** Requests of relying parties, in order. Emits `recorded` for each. */
export class IssuerEvents extends EventEmitter<{ recorded: [IssuerEvent] }> {
  readonly all: IssuerEvent[] = []

  grants(grantType: string): GrantEvent[] {
    return this.all.filter((event) => event.type === 'grant').filter((event) => event.grantType === grantType)
  }

  refreshGrants(): GrantEvent[] {
    return this.grants('refresh_token')
  }

  revocations(): RevocationEvent[] {
    return this.all.filter((event) => event.type === 'revocation')
  }

  record(event: IssuerEvent): void {
    this.all.push(event)
    this.emit('recorded', event)
  }
}

/** Identifies a token without revealing it: the first 16 bytes of its SHA-256, as in the gateway's log. */
export function fingerprint(token: string): string {
  return createHash('sha256').update(token).digest().subarray(0, 16).toString('base64url')
}

/** Middleware for the provider. */
export function recordTo(events: IssuerEvents) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    await next()
    // Unlike in the types, requests without a matching route have no OpenID context.
    const route = (ctx.oidc as KoaContextWithOIDC['oidc'] | undefined)?.route
    if (route === 'token') events.record(grantEvent(ctx))
    if (route === 'revocation') events.record(revocationEvent(ctx))
  }
}

function grantEvent({ status, body, oidc }: KoaContextWithOIDC): GrantEvent {
  const answer = (body ?? {}) as { error?: string; refresh_token?: string }
  const { grant_type: grantType, refresh_token: sent } = oidc.params ?? {}
  return {
    type: 'grant',
    at: Date.now(),
    grantType: String(grantType),
    outcome: status === 200 ? 'success' : 'error',
    ...(oidc.client && { clientId: oidc.client.clientId }),
    ...(answer.error !== undefined && { error: answer.error }),
    ...(typeof sent === 'string' && { refreshTokenHash: fingerprint(sent) }),
    ...(answer.refresh_token !== undefined && { issuedRefreshTokenHash: fingerprint(answer.refresh_token) }),
  }
}

function revocationEvent({ status, oidc }: KoaContextWithOIDC): RevocationEvent {
  return {
    type: 'revocation',
    at: Date.now(),
    outcome: status === 200 ? 'success' : 'error',
    tokenHash: fingerprint(String(oidc.params?.['token'])),
  }
}
