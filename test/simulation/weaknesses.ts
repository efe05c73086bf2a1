import type { Weakness } from './world.ts'

/** Renewers without one of the mechanisms that make them correct. */
export const weaknesses: Record<string, Weakness> = {
  'the lock': {
    store: (store) => ({
      ...store,
      lock: async () => ({
        outcome: 'acquired',
        lock: { failures: 0, async release() {}, extend: async () => true, async backOff() {} },
      }),
    }),
  },

  'reading the session again under the lock': {
    gateway({ store, sessions, ...others }) {
      const justLocked = new Set<string>()
      return {
        ...others,
        store: {
          ...store,
          async lock(id, ttlMs) {
            const result = await store.lock(id, ttlMs)
            if (result.outcome === 'acquired') justLocked.add(id)
            return result
          },
        },
        sessions: {
          ...sessions,
          reload: async (seen) => (justLocked.delete(seen.id) ? seen : sessions.reload(seen)),
        },
      }
    },
  },

  'compare-and-set': {
    store: (store) => ({
      ...store,
      async replace(id, sealed, derivedFrom) {
        const record = await store.read(id)
        if (record) return store.replace(id, sealed, record.version)
        await store.create(id, { sealed, ttlMs: 3_600_000, indexes: [] })
        return { outcome: 'replaced', version: derivedFrom + 1 }
      },
    }),
  },

  'looking for newer tokens after invalid_grant': {
    gateway: ({ sessions, ...others }) => ({
      ...others,
      sessions: { ...sessions, end: (session) => sessions.end(session) },
    }),
  },

  'backing off after a failure': {
    store: (store) => ({
      ...store,
      async lock(id, ttlMs) {
        const result = await store.lock(id, ttlMs)
        if (result.outcome !== 'acquired') return result
        return { ...result, lock: { ...result.lock, backOff: () => result.lock.release() } }
      },
    }),
  },

  'a limit to forced renewals': {
    store: (store) => ({ ...store, addMarker: async () => true }),
  },

  'revoking tokens granted to an ended session': {
    gateway: ({ issuer, ...others }) => ({ ...others, issuer: { ...issuer, async revoke() {} } }),
  },

  'restoring after a failover': { failover: { putsBack: false } },

  'the head start after a failover': { failover: { headStart: false } },
}
