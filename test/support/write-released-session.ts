import { writeFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { Redis } from 'ioredis'
import { newKey, startInjectGateway } from './inject-gateway.ts'
import { startRedis } from './redis.ts'

/**
 * Writes a session of the release at hand, as its users have it: the cookie, and what is in Redis. Before a release that
 * changes records or cookies:
 *
 *   node test/support/write-released-session.ts test/data/released-sessions/0.2.0.json
 */
const [file = ''] = process.argv.slice(2)
const endings: (() => unknown)[] = []
const t = { after: (end: () => unknown) => endings.push(end) } as unknown as TestContext

const redis = await startRedis()
const sessionKeys = newKey()
const gateway = await startInjectGateway(t, {
  env: { REDIS_URL: redis.url, SESSION_KEYS: sessionKeys, LOG_LEVEL: 'warn' },
})
const browser = gateway.newBrowser()
await browser.signIn()
const view = (await browser.call('/bff/session')).json()
const cookie = (browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? '')
  .split('; ')
  .find((pair) => pair.startsWith('bff='))

const client = new Redis(redis.url, { protocol: 2 })
const keys = (await client.keys('*')).sort()
const stored = await Promise.all(
  keys.map(async (key) => {
    const type = await client.type(key)
    const parts = (await partsOf(key, type)).map((part) => part.toString('base64'))
    return { key, type, parts }
  }),
)
const { issuer, clientId } = gateway.issuer
const session = { at: Date.now(), issuer, clientId, sessionKeys, cookie, view, stored }
writeFileSync(file, `${JSON.stringify(session, null, 2)}\n`)

client.disconnect()
for (const end of endings.reverse()) await end()
await redis.close()

/** Fields and values of a hash, members and scores of a sorted set, or a text. */
async function partsOf(key: string, type: string): Promise<Buffer[]> {
  if (type === 'hash')
    return Object.entries(await client.hgetallBuffer(key)).flatMap(([name, value]) => [
      Buffer.from(name),
      value,
    ])
  if (type === 'zset') return client.zrangeBuffer(key, '0', '-1', 'WITHSCORES')
  return [(await client.getBuffer(key)) ?? Buffer.alloc(0)]
}
