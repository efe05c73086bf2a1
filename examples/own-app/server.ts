import Fastify from 'fastify'
import bff from 'fastify-bff'
import { hooks } from './hooks.ts'
import { routes } from './routes.ts'

const { PUBLIC_URL, OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, SESSION_KEYS, API_URL, PORT } =
  process.env

const app = Fastify({ logger: true })

await app.register(bff, {
  publicUrl: PUBLIC_URL ?? 'http://localhost:3000',
  oidc: {
    issuer: OIDC_ISSUER ?? '',
    clientId: OIDC_CLIENT_ID ?? '',
    ...(OIDC_CLIENT_SECRET && { clientSecret: OIDC_CLIENT_SECRET }),
    scope: 'openid profile email offline_access time:read',
  },
  session: { keys: SESSION_KEYS ?? '', idleTimeout: '1h' },
  refreshBeforeExpiration: '15s',
  upstreams: [{ prefix: '/api', target: API_URL ?? '' }],
  ...hooks,
})
await app.register(routes)

await app.listen({ host: '127.0.0.1', port: Number(PORT ?? 3000) })
