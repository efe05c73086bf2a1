import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { GatewayOptions } from '../../../config/index.ts'
import { GatewayError } from '../../errors/catalogue.ts'
import { deriveKeys } from '../../session/cookie/keys.ts'
import { hostConstraint } from './routing.ts'

/** What follows in this scope is for requests to one host alone. */
export const forHost = fp<{ host: string }>(
  async (app, { host }) => {
    app.addHook('onRoute', (route) => {
      route.constraints = { ...route.constraints, [hostConstraint]: host }
    })
  },
  { name: 'for-host', fastify: '5.x' },
)

/** Or the page of a frontend above would answer for paths of this one. CORS preflights are the guard's. */
export const nothingElse: FastifyPluginAsync = async (app) => {
  const method = app.supportedMethods.filter((name) => name !== 'OPTIONS')
  const handler = async (): Promise<never> => {
    throw new GatewayError('BFF_NOT_FOUND')
  }
  app.route({ method, url: '/*', handler })
}

/** With keys that no other frontend has, so that what is sealed for one opens at no other, and the names of all cookies. */
export function withOwnKeys(options: GatewayOptions, all: GatewayOptions[]): GatewayOptions {
  const [first, ...others] = options.session.keys
  const purpose = `frontend ${options.publicUrl.href}`
  const [own, ...older] = deriveKeys([first, ...others], purpose)
  const cookie = { ...options.cookie, others: all.map(({ cookie: { name } }) => name) }
  return {
    ...options,
    cookie,
    session: own ? { ...options.session, keys: [own, ...older] } : options.session,
  }
}
