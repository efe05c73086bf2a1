import { exportJWK, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'
import { type DemoIssuer, type IssuerOptions, startIssuer } from '../../demo/issuer.ts'
import { freePort } from './free-port.ts'

/** A JSON answer, to be changed. */
export type Answer = Record<string, unknown>
type Middleware = Parameters<DemoIssuer['provider']['use']>[0]
type Context = Parameters<Middleware>[0]

export interface FaultyIssuer extends DemoIssuer {
  /** Changes the answers of the endpoint at `path` until the next call. Without `change` they are real again. */
  rewrite(path: string, change?: (answer: Answer, ctx: Context) => unknown): void
  /** Signs with one of the issuer's keys. `header` overrides the default header. */
  sign(claims: Record<string, unknown>, header?: Partial<JWTHeaderParameters>): Promise<string>
}

export const metadataPath = '/.well-known/openid-configuration'

/** The real issuer, with middleware that rewrites its answers. */
export async function startFaultyIssuer(options: IssuerOptions = {}): Promise<FaultyIssuer> {
  // It may close and reopen, and meanwhile the port must stay free.
  const issuer = await startIssuer({ port: await freePort(), ...options })
  const changes = new Map<string, (answer: Answer, ctx: Context) => unknown>()
  const kid = 'another key of the issuer'
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }

  issuer.provider.use(async (ctx, next) => {
    await next()
    const change = changes.get(ctx.path)
    if (ctx.path === '/jwks') ctx.body = { keys: [...(ctx.body as { keys: unknown[] }).keys, jwk] }
    if (change) await change(ctx.body as Answer, ctx)
  })

  return {
    ...issuer,
    rewrite(path, change) {
      if (change) changes.set(path, change)
      else changes.delete(path)
    },
    sign: (claims, header = {}) =>
      new SignJWT(claims as JWTPayload).setProtectedHeader({ alg: 'ES256', kid, ...header }).sign(privateKey),
  }
}
