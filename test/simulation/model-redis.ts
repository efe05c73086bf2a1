import { createChangeNotifier } from '../../plugins/session-store/change-notifier.ts'
import { CREATED_LENGTH, type redisScripts } from '../../plugins/session-store/redis-scripts.ts'

/** A Redis and replicas that may become master, with the commands that the store sends. */
export interface ModelRedis {
  /** The current master. Clients that have not noticed a failover may still use an earlier one. */
  master(): ModelServer
  /** A replica becomes master that lacks the writes of the last `lostMs`, but none from time 0. */
  failOver(lostMs: number): void
}

export interface ModelServer {
  /** @param by the gateway that sent the command */
  run(command: ModelCommand, args: unknown[], by: number): unknown
  readonly changes: ReturnType<typeof createChangeNotifier>
}

export type ModelCommand =
  | Exclude<keyof typeof redisScripts, 'bffRead' | 'bffDestroy' | 'bffUpdateProfile'>
  | Others
type Others = Buffers | 'get' | 'hget' | 'pexpire' | 'pttl' | 'ping' | 'scan' | 'zrange'
type Buffers = 'bffReadBuffer' | 'bffDestroyBuffer' | 'bffUpdateProfileBuffer' | 'hgetBuffer' | 'hmgetBuffer'

export interface ModelEvents {
  onStored(id: string, record: ModelRecord, event: ModelEvent): void
  /** @param again it had already ended on an earlier master */
  onEnded(id: string, record: ModelRecord, event: ModelEvent, again: boolean): void
}

export interface ModelEvent {
  /** The gateway that sent the command. */
  by: number
  /** On a server that is no longer the master. */
  onOldMaster: boolean
}

export interface ModelRecord {
  sealed: Buffer
  version: number
  indexes: string
  /** As in Redis. */
  created: Buffer
}

interface Entry {
  /** Never changed, only replaced. */
  value: unknown
  expiresAt: number
}

type Data = Map<string, Entry>

/** How far a replica may lag behind. */
const HISTORY_MS = 20_000

/** @param now in milliseconds */
export function createModelRedis(now: () => number, events: ModelEvents): ModelRedis {
  let { server, at } = createServer(new Map(), now, eventsOf)

  return {
    master: () => server,
    failOver(lostMs) {
      const replica = createServer(at(Math.max(0, now() - lostMs)), now, eventsOf)
      server = replica.server
      at = replica.at
    },
  }

  function eventsOf(origin: () => ModelServer) {
    const event = (by: number) => ({ by, onOldMaster: origin() !== server })
    return {
      onStored: (id: string, record: ModelRecord, by: number) => events.onStored(id, record, event(by)),
      onEnded: (id: string, record: ModelRecord, by: number, again: boolean) =>
        events.onEnded(id, record, event(by), again),
    }
  }
}

type EventsOf = (origin: () => ModelServer) => {
  onStored(id: string, record: ModelRecord, by: number): void
  onEnded(id: string, record: ModelRecord, by: number, again: boolean): void
}

function createServer(data: Data, now: () => number, eventsOf: EventsOf) {
  const { onStored, onEnded } = eventsOf(() => server)
  const changes = createChangeNotifier()
  let creations = 0
  /** The data before the first write of each millisecond. */
  let before: { at: number; data: Data }[] = []

  /** What the scripts in redis-scripts.ts do, in the same order. */
  const commands: Record<ModelCommand, (by: number, ...args: never[]) => unknown> = {
    bffCreate(
      by,
      record: string,
      ended: string,
      sealed: Buffer,
      ttlMs: number,
      indexes: string,
      profile: Buffer | '',
    ) {
      if (get(record) || get(ended)) return
      const first = { sealed, version: 1, indexes, created: created(++creations, profile) }
      set(record, first, ttlMs)
      onStored(idOf(record), first, by)
    },
    bffPut: (_by, record: string, sealed: Buffer, ttlMs: number) =>
      set(record, { sealed, version: 1, indexes: '[]', created: created(0) }, ttlMs),
    bffReadBuffer(_by, key: string, ended: string) {
      const record = get<ModelRecord>(key)
      if (!record) return get(ended) ? [] : null
      return [record.sealed, record.version, leftMs(key)]
    },
    bffReplace(by, key: string, ended: string, id: string, sealed: Buffer, derivedFrom: number) {
      const record = get<ModelRecord>(key)
      if (!record) return [get(ended) ? -2 : -1]
      const { version, indexes } = record
      if (version <= derivedFrom) {
        const next = { ...record, sealed, version: derivedFrom + 1 }
        set(key, next, leftMs(key))
        changes.notify(id)
        onStored(id, next, by)
        return [derivedFrom + 1, leftMs(key), indexes]
      }
      if (version === derivedFrom + 1 && record.sealed.equals(sealed)) return [version, leftMs(key), indexes]
      return [0]
    },
    bffPutBack(
      by,
      key: string,
      ended: string,
      id: string,
      sealed: Buffer,
      version: number,
      ttlMs: number,
      indexes: string,
      mayCreate: string,
      profile: Buffer | '',
    ) {
      if (get(ended)) return
      const record = get<ModelRecord>(key)
      if (record && record.version >= version) return
      if (!record && mayCreate === '') return
      const back = {
        sealed,
        version,
        indexes,
        created: record?.created ?? created(++creations, profile),
      }
      set(key, back, record ? leftMs(key) : ttlMs)
      changes.notify(id)
      onStored(id, back, by)
    },
    bffEndAgain(
      by,
      key: string,
      ended: string,
      endReason: string,
      id: string,
      rememberMs: number,
      reason: string,
    ) {
      rememberReason(key, endReason, rememberMs, reason)
      set(ended, get(ended) ?? { by: '' }, rememberMs)
      const record = get<ModelRecord>(key)
      if (!record) return
      drop(key)
      changes.notify(id)
      onEnded(id, record, by, true)
    },
    bffDestroyBuffer(
      gateway,
      key: string,
      ended: string,
      endReason: string,
      id: string,
      only: number | '',
      by: string,
      rememberMs: number,
      reason: string,
    ) {
      const record = get<ModelRecord>(key)
      if (!record) {
        const last = get<ModelRecord & { by: string }>(ended)
        if (last?.by === by) return [last.sealed, last.version, Buffer.from(last.indexes)]
        return last ? [] : null
      }
      if (only !== '' && only !== record.version) return []
      rememberReason(key, endReason, rememberMs, reason)
      drop(key)
      set(ended, { ...record, by }, rememberMs)
      changes.notify(id)
      onEnded(id, record, gateway, false)
      return [record.sealed, record.version, Buffer.from(record.indexes)]
    },
    bffUpdateProfileBuffer(_by, key: string, expected: Buffer | '', profile: Buffer) {
      const record = get<ModelRecord>(key)
      if (!record) return null
      const known = record.created.subarray(CREATED_LENGTH)
      if (!known.equals(Buffer.from(expected))) return known
      const updated = Buffer.concat([record.created.subarray(0, CREATED_LENGTH), profile])
      set(key, { ...record, created: updated }, leftMs(key))
      return null
    },
    bffEnterIndex: (_by, index: string, id: string, ttlMs: number) =>
      setIndex(index, new Map(entries(index)).set(id, now() + ttlMs)),
    bffLeaveIndex(_by, index: string, id: string) {
      setIndex(index, new Map([...entries(index)].filter(([each]) => each !== id)))
    },
    bffLock(_by, key: string, failures: string, owner: string, ttlMs: number) {
      const holder = get<string>(key)
      if (holder !== undefined && holder !== owner)
        return [holder === BACKING_OFF ? 'backing-off' : 'held', leftMs(key)]
      set(key, owner, ttlMs)
      return ['acquired', get<number>(failures) ?? 0]
    },
    bffAddMarker(_by, key: string, owner: string, ttlMs: number) {
      if (get(key) === undefined) set(key, owner, ttlMs)
      return get(key) === owner ? 1 : 0
    },
    bffRelease(_by, key: string, failures: string, id: string, owner: string) {
      if (get(key) !== owner) return
      drop(key)
      drop(failures)
      changes.notify(id)
    },
    bffBackOff(
      _by,
      key: string,
      failures: string,
      id: string,
      owner: string,
      ms: number,
      rememberMs: number,
    ) {
      if (get(key) !== owner) return
      set(key, BACKING_OFF, ms)
      set(failures, (get<number>(failures) ?? 0) + 1, rememberMs)
      changes.notify(id)
    },
    get: (_by, key: string) => get<string>(key) ?? null,
    hget: (_by, key: string, field: keyof ModelRecord) => get<ModelRecord>(key)?.[field] ?? null,
    hgetBuffer: (_by, key: string, field: keyof ModelRecord) => bytes(get<ModelRecord>(key)?.[field]),
    hmgetBuffer: (_by, key: string, ...fields: (keyof ModelRecord)[]) =>
      fields.map((field) => bytes(get<ModelRecord>(key)?.[field])),
    pexpire(_by, key: string, ttlMs: number) {
      const value = get(key)
      if (value !== undefined) set(key, value, ttlMs)
      return value === undefined ? 0 : 1
    },
    pttl: (_by, key: string) => leftMs(key) || -2,
    ping: () => 'PONG',
    scan: () => ['0', [...data.keys()].filter((key) => key.endsWith(':record'))],
    zrange: (_by, index: string) => [...entries(index).keys()],
  }

  const server: ModelServer = {
    changes,
    run: (command, args, by) => commands[command](by, ...(args as never[])),
  }

  return {
    server,
    /** As it was then. */
    at(time: number): Data {
      return new Map(before.find(({ at }) => at > time)?.data ?? data)
    },
  }

  function get<T>(key: string): T | undefined {
    const entry = data.get(key)
    return entry && entry.expiresAt > now() ? (entry.value as T) : undefined
  }

  /** When each identifier in an index expires. It is pruned when it is written. */
  function entries(index: string): Map<string, number> {
    return get(index) ?? new Map()
  }

  function setIndex(index: string, all: Map<string, number>): void {
    const living = new Map([...all].filter(([, expiresAt]) => expiresAt > now()))
    set(index, living, Math.max(0, ...living.values()) - now())
  }

  function rememberReason(record: string, endReason: string, rememberMs: number, reason: string): void {
    if (reason !== '') set(endReason, reason, Math.max(leftMs(record), leftMs(endReason), rememberMs))
  }

  function leftMs(key: string): number {
    return Math.max(0, (data.get(key)?.expiresAt ?? 0) - now())
  }

  function set(key: string, value: unknown, ttlMs: number): void {
    remember()
    data.set(key, { value, expiresAt: now() + ttlMs })
  }

  function drop(key: string): void {
    remember()
    data.delete(key)
  }

  function remember(): void {
    if (before.at(-1)?.at === now()) return
    before = before.filter(({ at }) => at >= now() - HISTORY_MS)
    before.push({ at: now(), data: new Map(data) })
  }
}

const BACKING_OFF = 'backing-off'

function created(time: number, profile: Buffer | '' = ''): Buffer {
  return Buffer.concat([Buffer.from(String(time).padStart(CREATED_LENGTH, '0')), Buffer.from(profile)])
}

function bytes(value: Buffer | string | number | undefined): Buffer | null {
  if (value === undefined) return null
  return typeof value === 'number' ? Buffer.from(String(value)) : Buffer.from(value)
}

function idOf(recordKey: string): string {
  return /\{(.*)\}/.exec(recordKey)?.[1] ?? ''
}
