import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type SignedIn, startWorld, type World } from './world.ts'

/** How long a gateway may still serve a session that has ended elsewhere, whatever it does not hear. */
const feltWithinMs = 2000

let world: World

before(async () => {
  world = await startWorld({ gateways: 2 })
})
after(() => world.close())

interface Ending {
  /** Before the session ends. */
  before?: () => unknown
  /** How it ends. Default: the user signs out at the first gateway. */
  end?: (session: SignedIn) => unknown
  /** Right after it. */
  after?: () => unknown
  /** Undoes the fault. */
  restore?: () => unknown
}

const endings: Record<string, Ending> = {
  'a logout elsewhere': {},
  'a logout elsewhere while the subscriptions are cut': {
    before: () => world.redis.send('CLIENT KILL TYPE pubsub'),
  },
  'a logout elsewhere while Redis refuses announcements': {
    before: () => world.redis.send('ACL SETUSER default resetchannels'),
    restore: () => world.redis.send('ACL SETUSER default allchannels'),
  },
  'an end whose announcement is lost': {
    end: ({ stored }) => world.redis.send(`DEL bff:{${stored.id}}:record`),
  },
  'a logout elsewhere just before Redis freezes': {
    after: () => world.redis.pause(),
    restore: () => world.redis.resume(),
  },
  // Last, since it loses all data.
  'a logout elsewhere just before Redis is killed': {
    after: () => world.redis.kill(),
    restore: () => world.redis.restart(),
  },
}

for (const [what, { before: prepare, end = signOut, after: follow, restore }] of Object.entries(endings)) {
  test(`${what}: no gateway serves the session two seconds later`, async (t) => {
    const session = await world.signIn()
    const cookie = session.browser.cookies.headerFor(new URL(other().url)) ?? ''
    for (const gateway of world.gateways) assert.equal((await session.call(gateway)).status, 200)
    t.after(() => restore?.())

    await prepare?.()
    const answers: { begunAt: number; status: number }[] = []
    let isOver = false
    const polling = poll()
    await end(session)
    const endedAt = performance.now()
    await follow?.()
    while (performance.now() < endedAt + feltWithinMs) await new Promise((resolve) => setTimeout(resolve, 50))
    // A request that begins now.
    const last = await ask()
    isOver = true
    await polling
    const late = answers.filter(({ begunAt, status }) => begunAt > endedAt + feltWithinMs && status === 200)
    assert.deepEqual([late, [401, 503].includes(last)], [[], true], `answered ${last}`)
    if (follow === undefined) assert.equal(last, 401)

    async function ask(): Promise<number> {
      const headers = { cookie, 'x-csrf': '1' }
      const response = await fetch(`${other().url}/api/gettime`, { headers })
      await response.arrayBuffer()
      return response.status
    }

    /** Keeps the session in use, so that its record stays at hand. */
    async function poll(): Promise<void> {
      while (!isOver) {
        const begunAt = performance.now()
        answers.push({ begunAt, status: await ask() })
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  })
}

function other() {
  return world.gateways[1] ?? assert.fail()
}

async function signOut({ browser }: SignedIn): Promise<void> {
  const { url } = world.gateways[0] ?? assert.fail()
  const answer = await browser.fetch(`${url}/bff/logout`)
  assert.equal(answer.status, 302, answer.body)
}
