import type { FastifyInstance } from 'fastify'
import { callback } from './callback.ts'
import { login } from './login.ts'
import { logout } from './logout.ts'
import type { RouteOptions } from './options.ts'
import { session } from './session.ts'
import { user } from './user.ts'

/** Where browsers navigate to, from other sites too: each of these checks for itself who sent them. */
export async function navigations(app: FastifyInstance, options: RouteOptions): Promise<void> {
  await login(app, options)
  await callback(app, options)
  await logout(app, options)
  // Or a frontend's fallback would answer a mistyped endpoint with its page.
  app.all('/bff/*', async (_request, reply) => reply.callNotFound())
}

/** What scripts of the frontend call. */
export async function sessionEndpoints(app: FastifyInstance, options: RouteOptions): Promise<void> {
  await user(app, options)
  await session(app, options)
}
