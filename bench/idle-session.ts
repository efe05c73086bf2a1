import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { systemClock } from '../lib/clock.ts'
import { createSessions } from '../plugins/session/sessions.ts'
import { createMemoryStore } from '../plugins/session-store/memory.ts'
import { newLogin } from './sessions.ts'

/** Memory for each session that is not in use, with two JWTs of 1.2 KB, in a gateway without Redis. */
export async function idleSessionBytes(count: number): Promise<{ total: number; buffers: number }> {
  const sessions = createSessions({
    store: createMemoryStore({ clock: systemClock }),
    clock: systemClock,
    clientId: 'bench',
    idleTimeoutMs: 3_600_000,
    lifetimeMs: 28_800_000,
  })
  const begin = async () => {
    for (let user = 0; user < count; user++) await sessions.create(newLogin(user))
  }
  // The first ones bring compiled code and the like, and maps grow in steps.
  await begin()
  const before = await used()
  await begin()
  const after = await used()
  // Until here, or the store could be collected.
  await sessions.create(newLogin(0))
  const each = (bytes: number) => Math.round(bytes / count)
  return {
    total: each(after.heap + after.buffers - before.heap - before.buffers),
    buffers: each(after.buffers - before.buffers),
  }
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** After several collections: one leaves code that was used lately, and what finalizers are to free. */
async function used() {
  for (let i = 0; i < 8; i++) {
    collectGarbage()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return { heap: heapUsed, buffers: external }
}
