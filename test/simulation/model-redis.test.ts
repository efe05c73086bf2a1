import { storeContract } from '../session-store/contract.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { createModelRedis } from './model-redis.ts'
import type { GatewayProcess } from './process.ts'
import { createRedisLink } from './redis-link.ts'

// The simulation is only as good as its model of Redis.
storeContract('the store on the model of Redis', async () => {
  const clock = createFakeClock()
  const redis = createModelRedis(clock.now, { onStored() {}, onEnded() {} })
  const process: GatewayProcess = {
    gateway: 0,
    clock,
    crashed: false,
    frozenMs: () => 0,
    crash() {},
    freeze() {},
    send: (_operation, { effect }) => effect(undefined),
  }
  const open = () => createRedisLink({ redis, process, isDown: () => false })
  const links = [open(), open()] as const

  return {
    store: links[0].store,
    other: links[1].store,
    advance: clock.advance,
    async failOver() {
      redis.failOver(1)
      await Promise.all(links.map(({ move }) => move()))
    },
  }
})
