import { LRUCache } from 'lru-cache'
import {
  type Adapter,
  type AdapterFactory,
  type AdapterPayload,
  type ClientMetadata,
  errors,
} from 'oidc-provider'

/** Models whose entries end with their grant. */
const grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken'])

/** The data of one issuer. Nothing is shared between issuers in a process. */
export function createMemoryAdapter(clients: ReadonlyMap<string, ClientMetadata>): AdapterFactory {
  const records = new LRUCache<string, AdapterPayload>({ max: 20_000 })
  const grantMembers = new LRUCache<string, Set<string>>({ max: 5_000 })

  return (model): Adapter => {
    const keyOf = (id: string) => `${model}:${id}`

    function findWhere(name: 'uid' | 'userCode', value: string): AdapterPayload | undefined {
      for (const [key, payload] of records.entries()) {
        if (key.startsWith(`${model}:`) && payload[name] === value) return payload
      }
      return undefined
    }

    async function revokeByGrantId(grantId: string): Promise<void> {
      for (const key of grantMembers.get(grantId) ?? []) records.delete(key)
      grantMembers.delete(grantId)
    }

    return {
      async upsert(id, payload, expiresInSeconds) {
        const ttl = expiresInSeconds === undefined ? {} : { ttl: expiresInSeconds * 1000 }
        records.set(keyOf(id), payload, ttl)
        const { grantId } = payload
        if (grantId === undefined || !grantable.has(model)) return
        const members = grantMembers.get(grantId) ?? new Set()
        grantMembers.set(grantId, members.add(keyOf(id)))
      },

      // Read each time, so that gateways can be added to a client while the issuer runs.
      find: async (id) => (model === 'Client' ? clients.get(id) : records.get(keyOf(id))),
      findByUid: async (uid) => findWhere('uid', uid),
      findByUserCode: async (userCode) => findWhere('userCode', userCode),

      async consume(id) {
        const payload = records.get(keyOf(id))
        // The provider checks `consumed` some turns earlier: two simultaneous requests would both pass.
        if (!payload || payload.consumed) {
          if (payload?.grantId) {
            records.delete(`Grant:${payload.grantId}`)
            await revokeByGrantId(payload.grantId)
          }
          throw new errors.InvalidGrant('already used')
        }
        payload.consumed = Math.floor(Date.now() / 1000)
      },

      async destroy(id) {
        records.delete(keyOf(id))
      },

      revokeByGrantId,
    }
  }
}
