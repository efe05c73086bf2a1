import { Cluster } from 'ioredis'
import type { RedisClient } from './redis-client.ts'
import type { RedisCommands } from './redis-commands.ts'
import { recordKey } from './redis-keys.ts'

/** How many keys Redis looks at in one command: some tenths of a millisecond, in which no other command runs. */
const AT_A_TIME = 500

const [before, after] = recordKey('*').split('*') as [string, string]

/**
 * Identifiers of all records, of every master, in batches. Redis serves other commands between the batches.
 * @throws StoreUnavailableError also when a master is replaced meanwhile
 */
export async function* scanRecords(run: RedisCommands['run']): AsyncGenerator<string[]> {
  // `run` waits until Redis can be reached: only then are the masters known.
  const masters = await run(async (redis) => mastersOf(redis))
  for (const master of masters) {
    let cursor = '0'
    do {
      const from = cursor
      const [next, keys] = await run(() => master.scan(from, 'MATCH', recordKey('*'), 'COUNT', AT_A_TIME))
      cursor = next
      if (keys.length > 0) yield keys.map((key) => key.slice(before.length, -after.length))
    } while (cursor !== '0')
  }
}

function mastersOf(redis: RedisClient) {
  return redis instanceof Cluster ? redis.nodes('master') : [redis]
}
