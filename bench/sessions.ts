import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { NewSession } from '../plugins/session/sessions.ts'

/** What a login brings: an access and an ID token of 1.2 KB each, as of an issuer with roles and groups. */
export function newLogin(user: number): NewSession {
  const now = Date.now()
  const subject = `user-${user}`
  return {
    issuer: 'https://issuer.example',
    subject,
    sid: randomBytes(16).toString('base64url'),
    claims: { name: `User ${user}`, preferred_username: subject, email: `${subject}@example.com` },
    tokenSet: {
      accessToken: jwt(subject),
      tokenType: 'Bearer',
      obtainedAt: now,
      expiresAt: now + 3_600_000,
      refreshToken: randomBytes(32).toString('base64url'),
      idToken: jwt(subject),
    },
  }
}

/** Of 1.2 KB. The signature of RS256 can't be compressed. */
function jwt(subject: string): string {
  const claims = {
    iss: 'https://issuer.example/realms/production',
    sub: subject,
    aud: ['account', 'time-api', 'orders-api'],
    jti: randomBytes(16).toString('hex'),
    iat: 1_764_600_000,
    exp: 1_764_603_600,
    sid: randomBytes(16).toString('hex'),
    scope: 'openid profile email offline_access time:read orders:read orders:write',
    realm_access: { roles: ['offline_access', 'uma_authorization', 'default-roles-production', 'editor'] },
    groups: ['/staff/engineering/platform', '/staff/on-call'],
    name: 'A user with a usual name',
    email: `${subject}@example.com`,
  }
  const header = { alg: 'RS256', typ: 'JWT', kid: 'Wq1pJ9VhTzVd1m2c7cRZk0gB4nX3sY6uA8eLfHoKtQw' }
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  return `${encode(header)}.${encode(claims)}.${randomBytes(256).toString('base64url')}`
}

/** Creates sessions in a gateway, as logins would. @returns their `Cookie` headers */
export async function createSessions(app: FastifyInstance, count: number): Promise<string[]> {
  const cookies: string[] = []
  for (let user = 0; user < count; user++) {
    const { reference } = await app.sessions.create(newLogin(user))
    const sealed = app.encodeSecureSession(app.createSecureSession({ ...reference }), 'sealedSession')
    cookies.push(`bff=${encodeURIComponent(sealed)}`)
  }
  return cookies
}
