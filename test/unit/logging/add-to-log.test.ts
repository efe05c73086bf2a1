import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify, { type FastifyBaseLogger, type FastifyServerOptions } from 'fastify'
import { addToLog, loggerOptions } from '../../../plugins/logging/logger.ts'

type Line = Record<string, unknown>

/** The log of one request to which a user is added, and of another after it without a user. */
async function logged(options: FastifyServerOptions = {}, own = {}): Promise<Line[]> {
  const lines: Line[] = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const app = Fastify({ logger: { ...own, level: 'info', stream }, ...options })
  app.get('/:user', async (request) => {
    const { user } = request.params as { user: string }
    if (user !== 'anonymous') addToLog(request, { user })
    request.log.info('asked')
    request.log.child({ of: 'a child' }).info('asked')
    return ''
  })
  for (const url of ['/alice', '/anonymous']) assert.equal((await app.inject(url)).statusCode, 200)
  return lines.filter(({ msg }) => msg === 'asked')
}

for (const [whose, own] of [
  ["an application's log", {}],
  ["the gateway's own log", loggerOptions('info')],
] as const) {
  test(`a field added to a request's log is in all lines of that request, and in no other's: ${whose}`, async () => {
    const lines = await logged({}, own)
    assert.deepEqual(
      lines.map(({ reqId, user, of }) => ({ reqId, user, of })),
      [
        { reqId: 'req-1', user: 'alice', of: undefined },
        { reqId: 'req-1', user: 'alice', of: 'a child' },
        { reqId: 'req-2', user: undefined, of: undefined },
        { reqId: 'req-2', user: undefined, of: 'a child' },
      ],
    )
  })
}

test('where all requests share one logger, the request gets a child of it', async () => {
  let ofTenant: FastifyBaseLogger | undefined
  const factories: NonNullable<FastifyServerOptions['childLoggerFactory']>[] = [
    (logger) => logger,
    (logger) => (ofTenant ??= logger.child({ tenant: 'a' })),
  ]
  for (const childLoggerFactory of factories) {
    const lines = await logged({ childLoggerFactory })
    assert.deepEqual(
      lines.map(({ user }) => user),
      ['alice', 'alice', undefined, undefined],
    )
  }
})

test('an application without a logger stays without one', async () => {
  assert.deepEqual(await logged({ logger: false }), [])
})
