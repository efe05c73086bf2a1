import type { FastifyPluginAsync } from 'fastify'

export const routes: FastifyPluginAsync = async (app) => {
  app.get('/', { onRequest: app.bff.loadSession }, async ({ session }) => ({
    hello: session?.claims['name'] ?? 'stranger',
    loginUrl: app.bff.loginUrl,
  }))

  app.register(signedIn)
}

/** What the frontend's scripts call, for signed-in users alone. */
const signedIn: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', app.bff.guard)
  app.addHook('onRequest', app.bff.requireSession)

  app.get('/me', async ({ session }) => ({
    subject: session?.subject,
    roles: session?.claims['roles'],
  }))

  // The API that the frontend would reach at /api/gettime: with the user's token, renewed in time.
  app.get('/appointment', async (request) => {
    const answer = await app.bff.fetch(request, '/api/gettime')
    const { time } = (await answer.json()) as { time: string }
    return { at: time, where: 'in the library' }
  })

  // For an HTTP client of one's own.
  app.get('/token-age', async (request) => {
    const token = await request.accessToken()
    const [, payload = ''] = token.split('.')
    const { iat } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { iat: number }
    return { seconds: Math.floor(Date.now() / 1000) - iat }
  })
}
