import { unseal } from '../../plugins/session/sealing.ts'
import { sessionRecord } from '../../plugins/session/session-record.ts'
import {
  type Lock,
  type SealedRecord,
  type SessionStore,
  StoreUnavailableError,
} from '../../plugins/session-store/store.ts'
import type { History } from './history.ts'
import type { Operation } from './plan.ts'
import type { GatewayProcess } from './process.ts'
import type { VirtualTime } from './virtual-time.ts'

/** One gateway's view of the store that all share: each command takes its time, and may go wrong on the way. */
export function scheduledStore(
  shared: SessionStore,
  { send }: GatewayProcess,
  isDown: () => boolean,
): SessionStore {
  return {
    ...shared,
    read: (id) => command('read', () => shared.read(id)),
    replace: (id, sealed, version) => command('replace', () => shared.replace(id, sealed, version)),
    destroy: (id, onlyVersion) => command('destroy', () => shared.destroy(id, onlyVersion)),
    destroyBy: (index) => command('destroy', () => shared.destroyBy(index)),
    claim: (name, ttlMs) => command('claim', () => shared.claim(name, ttlMs)),

    async lock(id, ttlMs) {
      const result = await command('lock', () => shared.lock(id, ttlMs))
      return result.outcome === 'acquired' ? { ...result, lock: scheduledLock(result.lock) } : result
    },

    changed(id, signal) {
      // Listened for from now on; only the news is on its way for a while.
      const news = shared.changed(id, signal)
      const heard = send('changed', { effect: () => news, lost: () => undefined })
      return Promise.race([heard, aborted(signal)])
    },
  }

  function scheduledLock({ failures, release, extend, backOff }: Lock): Lock {
    return {
      failures,
      release: () => command('release', () => release()),
      extend: (ms) => command('extend', () => extend(ms)),
      backOff: (ms) => command('backOff', () => backOff(ms)),
    }
  }

  function command<T>(operation: Operation, run: () => Promise<T>): Promise<T> {
    return send(operation, {
      effect: async () => {
        if (isDown()) throw unavailable('is down')
        return run()
      },
      lost() {
        throw unavailable(`lost a ${operation}`)
      },
    })
  }
}

/** Writes down what is stored and what ends, in the order in which it truly happens. */
export function watchedStore(
  store: SessionStore,
  history: History,
  time: VirtualTime,
  sessions: ReadonlyMap<string, { session: number; key: Buffer }>,
): SessionStore {
  return {
    ...store,

    async create(id, record) {
      await store.create(id, record)
      noteStored(id, { sealed: record.sealed, version: 1 })
    },

    async replace(id, sealed, derivedFrom) {
      const before = await store.read(id)
      const result = await store.replace(id, sealed, derivedFrom)
      if (result.outcome === 'replaced' && before?.version !== result.version)
        noteStored(id, { sealed, version: result.version })
      return result
    },

    async destroy(id, onlyVersion) {
      const last = await store.destroy(id, onlyVersion)
      if (last) noteEnded(id, last)
      return last
    },

    async destroyBy(index) {
      const alive = new Map<string, SealedRecord>()
      for (const id of sessions.keys()) {
        const record = await store.read(id)
        if (record) alive.set(id, record)
      }
      const destroyed = await store.destroyBy(index)
      for (const [id, last] of alive) if (!(await store.read(id))) noteEnded(id, last)
      return destroyed
    },
  }

  function noteEnded(id: string, last: SealedRecord): void {
    const opened = open(id, last)
    if (!opened) return
    const { session, record } = opened
    history.endings.push({ at: time.now(), session, refreshToken: record.tokenSet.refreshToken })
    history.tell('store', `session ${session} ended`)
  }

  function noteStored(id: string, stored: SealedRecord): void {
    const { version } = stored
    const opened = open(id, stored)
    if (!opened) return
    history.stored.push({ at: time.now(), version, ...opened })
    history.tell(
      'store',
      `version ${version} of session ${opened.session} has ${opened.record.tokenSet.refreshToken}`,
    )
  }

  function open(id: string, { sealed, version }: SealedRecord) {
    const known = sessions.get(id)
    const record = known && sessionRecord(unseal(sealed, { key: known.key, id, version }))
    return record && { session: known.session, record }
  }
}

function unavailable(why: string): StoreUnavailableError {
  return new StoreUnavailableError(new Error(`The model store ${why}`))
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
