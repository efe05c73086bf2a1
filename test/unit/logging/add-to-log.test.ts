import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify, { type FastifyBaseLogger, type FastifyServerOptions } from 'fastify'
import { addToLog } from '../../../plugins/logging/add-to-log.ts'

type Line = Record<string, unknown>

/** What one request logs, to which a user is added, and after it another, to which none is. */
async function logged(options: FastifyServerOptions = {}): Promise<Line[]> {
  const lines: Line[] = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const app = Fastify({ logger: { level: 'info', stream }, ...options })
  app.get('/:user', async (request) => {
    const { user } = request.params as { user: string }
    if (user !== 'nobody') addToLog(request, { user })
    request.log.info('asked')
    return ''
  })
  for (const url of ['/alice', '/nobody']) assert.equal((await app.inject(url)).statusCode, 200)
  return lines.filter(({ msg }) => msg === 'asked')
}

test("what is added to a request's log stands in all of its lines and in no other request's", async () => {
  const lines = await logged()
  assert.deepEqual(
    lines.map(({ reqId, user }) => ({ reqId, user })),
    [
      { reqId: 'req-1', user: 'alice' },
      { reqId: 'req-2', user: undefined },
    ],
  )
})

test('an application whose requests share one logger gets a child of it', async () => {
  let ofTenant: FastifyBaseLogger | undefined
  const factories: NonNullable<FastifyServerOptions['childLoggerFactory']>[] = [
    (logger) => logger,
    (logger) => (ofTenant ??= logger.child({ tenant: 'a' })),
  ]
  for (const childLoggerFactory of factories) {
    const lines = await logged({ childLoggerFactory })
    assert.deepEqual(
      lines.map(({ user }) => user),
      ['alice', undefined],
    )
  }
})

test('an application that logs nothing goes on doing so', async () => {
  assert.deepEqual(await logged({ logger: false }), [])
})
