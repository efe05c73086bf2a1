import type { FastifyPluginAsync } from 'fastify'

export const routes: FastifyPluginAsync = async (app) => {
  app.get('/', { onRequest: app.bff.loadSession }, async ({ session }) => ({
    hello: session?.claims['name'] ?? 'stranger',
    loginUrl: app.bff.loginUrl,
  }))

  app.register(signedIn)
}

/** Routes for the frontend's scripts, for signed-in users only. */
const signedIn: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', app.bff.guard)
  app.addHook('onRequest', app.bff.requireSession)

  app.get('/me', async ({ session }) => ({
    subject: session?.subject,
    roles: session?.claims['roles'],
  }))

  // The API that the frontend calls at /api/gettime, with the user's token, renewed if needed.
  app.get('/appointment', async (request) => {
    const answer = await app.bff.fetch(request, '/api/gettime')
    const { time } = (await answer.json()) as { time: string }
    return { at: time, where: 'in the library' }
  })

  // For another HTTP client.
  app.get('/token-age', async (request) => {
    const token = await request.accessToken()
    const [, payload = ''] = token.split('.')
    const { iat } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { iat: number }
    return { seconds: Math.floor(Date.now() / 1000) - iat }
  })
}
