import { exportJWK, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'
import { type DemoIssuer, type IssuerOptions, startIssuer } from '../../demo/issuer.ts'
import { freePort } from './free-port.ts'

/** A JSON answer, to be changed. */
export type Answer = Record<string, unknown>
type Middleware = Parameters<DemoIssuer['provider']['use']>[0]
type Context = Parameters<Middleware>[0]

export interface FaultyIssuer extends DemoIssuer {
  /** Changes what the endpoint at `path` answers, until told otherwise. Without `change` it is honest again. */
  rewrite(path: string, change?: (answer: Answer, ctx: Context) => unknown): void
  /** Signs with a key that is among the issuer's own. `header` goes over what a header says by itself. */
  sign(claims: Record<string, unknown>, header?: Partial<JWTHeaderParameters>): Promise<string>
}

export const metadataPath = '/.well-known/openid-configuration'

/** The real issuer, with somebody in between who rewrites its answers. */
export async function startFaultyIssuer(options: IssuerOptions = {}): Promise<FaultyIssuer> {
  // It may close and reopen, and meanwhile nobody else may take its place.
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
