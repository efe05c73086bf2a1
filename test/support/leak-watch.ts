import assert from 'node:assert/strict'
import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'
import { after } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { DemoIssuer } from '../../demo/issuer.ts'
import type { LogStream } from '../../plugins/edge/index.ts'
import { findLeaks, formsOf, type Leak } from './leaks.ts'

/** Collects all issued secrets, and searches all logs for them. */
export interface LeakWatch {
  keepSecret(value: string, kind: string): void
  /** Collects tokens, codes and other secrets that this issuer sends or receives. */
  watchIssuer(issuer: Partial<Pick<DemoIssuer, 'provider' | 'clientSecret'>>): void
  /** Collects cookies of a gateway in this process. Those of others are seen in answers over sockets. */
  watchCookies(app: FastifyInstance): void
  /** Records what is logged, and passes it on. */
  watchedStream(stream?: LogStream): LogStream
  /** Further output, read at the end. */
  watchOutput(output: () => string): void
  leaks(): Leak[]
}

const parameters = 'code code_verifier refresh_token token state nonce id_token_hint request_uri'.split(' ')
const answers = ['access_token', 'refresh_token', 'id_token', 'request_uri']

export function createLeakWatch(): LeakWatch {
  const secrets = new Map<string, string>()
  const outputs: (() => string)[] = []
  const issuers = new WeakSet<object>()

  const watch: LeakWatch = {
    keepSecret(value, kind) {
      for (const form of formsOf(value)) secrets.set(form, kind)
    },

    watchIssuer({ provider, clientSecret }) {
      if (clientSecret) watch.keepSecret(clientSecret, 'client secret')
      if (!provider || issuers.has(provider)) return
      issuers.add(provider)
      provider.use(async (ctx, next) => {
        await next()
        // Refused values may be arbitrary text.
        if (ctx.status < 400) keepAll(parameters, ctx['oidc']?.params)
        keepAll(answers, ctx.body)
        keepLocation(ctx.response.get('location'))
        const basic = /^Basic (.+)$/.exec(ctx.get('authorization'))?.[1]
        if (basic) watch.keepSecret(basic, 'client authentication')
      })
    },

    watchCookies(app) {
      app.addHook('onSend', async (_request, reply) => {
        keepCookies(reply.getHeader('set-cookie'))
        keepLocation(reply.getHeader('location'))
      })
    },

    watchedStream(stream) {
      const lines: string[] = []
      outputs.push(() => lines.join(''))
      return {
        write(line) {
          lines.push(line)
          stream?.write(line)
        },
      }
    },

    watchOutput: (output) => void outputs.push(output),

    leaks: () => outputs.flatMap((output) => findLeaks(output(), secrets)),
  }

  subscribe('undici:request:headers', (message) => {
    const { headers } = (message as { response: { headers: Buffer[] | Record<string, unknown> } }).response
    // A list over HTTP/1.1, an object over HTTP/2.
    const values = Array.isArray(headers) ? headers.map(String) : Object.entries(headers).flat()
    for (let i = 0; i < values.length; i += 2) keepHeader(String(values[i]), values[i + 1])
  })
  subscribe('http.client.response.finish', (message) => {
    const { headers } = (message as { response: IncomingMessage }).response
    for (const [name, value] of Object.entries(headers)) keepHeader(name, value)
  })
  return watch

  function keepHeader(name: string, value: unknown): void {
    if (/^set-cookie$/i.test(name)) keepCookies(value)
    if (/^location$/i.test(name)) keepLocation(value)
  }

  function keepCookies(values: unknown): void {
    for (const cookie of [values ?? []].flat()) {
      const [, name = '', value = ''] = /^([^=]*)=([^;]*)/.exec(String(cookie)) ?? []
      watch.keepSecret(value, `cookie ${name}`)
    }
  }

  function keepLocation(value: unknown): void {
    const location = URL.parse(String(value ?? ''), 'http://localhost')
    if (location) keepAll(parameters, Object.fromEntries(location.searchParams))
  }

  function keepAll(names: string[], values: unknown): void {
    for (const [name, value] of Object.entries(values ?? {}))
      if (names.includes(name) && typeof value === 'string') watch.keepSecret(value, name)
  }
}

/** For this test file: after its tests no issued secret may be in any log. */
export const leakWatch = createLeakWatch()

after(() => {
  assert.deepEqual(leakWatch.leaks(), [], 'A secret was logged')
})
