import { after, before, describe } from 'node:test'
import { type RedisTopology, startCluster, startSentinel } from '../support/redis-topologies.ts'
import { storeContract } from './contract.ts'
import { redisUnderTest } from './redis-support.ts'

const topologies = { 'Redis with Sentinel': startSentinel, 'Redis Cluster': startCluster }

for (const [name, start] of Object.entries(topologies)) {
  describe(name, () => {
    let topology: RedisTopology
    before(async () => {
      topology = await start()
    })
    after(() => topology.close())

    storeContract(
      name,
      redisUnderTest(() => topology.url),
    )
  })
}
