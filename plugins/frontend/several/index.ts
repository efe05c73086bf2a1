import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { GatewayOptions } from '../../../config/index.ts'
import { GatewayError } from '../../errors/catalogue.ts'
import { deriveKeys } from '../../session/sealing.ts'
import { hostConstraint } from './routing.ts'

/** Limits all later routes of this scope to requests for one host. */
export const forHost = fp<{ host: string }>(
  async (app, { host }) => {
    app.addHook('onRoute', (route) => {
      route.constraints = { ...route.constraints, [hostConstraint]: host }
    })
  },
  { name: 'for-host', fastify: '5.x' },
)

/**
 * Answers 404 below this base path; otherwise the page of a frontend with a shorter base path would answer. The guard
 * answers CORS preflights.
 */
export const notFoundBelow: FastifyPluginAsync = async (app) => {
  const method = app.supportedMethods.filter((name) => name !== 'OPTIONS')
  const handler = async (): Promise<never> => {
    throw new GatewayError('BFF_NOT_FOUND')
  }
  app.route({ method, url: '/*', handler })
}

/**
 * Derives session keys for one frontend, so that what is sealed for one can't be opened by another, and adds the names
 * of all frontends' session cookies.
 */
export function withOwnKeys(options: GatewayOptions, all: GatewayOptions[]): GatewayOptions {
  const keys = deriveKeys(options.session.keys, `frontend ${options.publicUrl.href}`)
  const cookie = { ...options.cookie, others: all.map(({ cookie: { name } }) => name) }
  return {
    ...options,
    cookie,
    session: { ...options.session, keys },
  }
}
