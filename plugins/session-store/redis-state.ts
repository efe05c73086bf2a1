import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Cluster, type RedisOptions } from 'ioredis'
import type { StoreOutcome } from '../observability/metrics.ts'
import type { Probe, RedisClient } from './redis-client.ts'

/** State changes of the Redis connection, each reported once. */
export interface RedisReport {
  /** @param isMaster undefined if it is not known */
  connected(isMaster: boolean | undefined): void
  /** The server is a replica: it refuses writes. Called with every connection to it and every refused write. */
  readOnly(): void
  /** The connection was lost. */
  lost(reason: string): void
  /** Connecting failed. Called once per reason until it succeeds. */
  unreachable(reason: string): void
  /** The user has no permission for the change channel, or has it again. */
  channelRefused(isRefused: boolean): void
  /** The user has no permission for INFO. */
  infoRefused(): void
  /** Writes were put back after a failover. */
  putBack(tries: PutBackTry[]): void
}

/** A write that was to be put back. */
export interface PutBackTry {
  outcome: StoreOutcome
  durationMs: number
  error?: unknown
}

export const noReport: RedisReport = {
  connected() {},
  readOnly() {},
  lost() {},
  unreachable() {},
  channelRefused() {},
  infoRefused() {},
  putBack() {},
}

const PROBE_MS = 2_000

export interface StateSources {
  probe: Probe
  /** The last reply to INFO. */
  info(): string | undefined
}

export interface StateReports {
  /** Whether the server was a replica when it was last asked. */
  isReplica(): boolean
  /** To be called after another reply to INFO: a replica may have been promoted. */
  reportRole(): void
  /** Stops the reports, for when the connection is closed on purpose. */
  end(): void
}

/**
 * Reports the state of a client's connection. Never reveals a password: ioredis errors contain commands, but not in
 * their message.
 */
export function reportState(
  client: RedisClient,
  { probe, info }: StateSources,
  report: RedisReport,
): StateReports {
  let isConnected = false
  let isReplica = false
  let isOver = false
  /** Reasons reported during this outage, so that each is reported once and not with every try. */
  let reported = new Set<string>()
  let lastError: string | undefined
  let sentinelError: string | undefined

  client.on('ready', () => {
    isConnected = true
    reported = new Set()
    lastError = undefined
    reportRole()
  })
  watchErrorReplies()
  client.on('sentinelError', (error: Error) => {
    sentinelError = error.message
  })
  client.on('error', (error: Error) => {
    // Only a consequence of an earlier error.
    if (/^Stream isn't writeable/.test(error.message)) return
    lastError = reasonOf(error)
    if (!isConnected) void tell(lastError)
  })
  client.on('close', () => {
    if (isOver) return
    if (isConnected) report.lost(lastError ?? 'the connection was closed')
    else if (lastError === undefined) void tell(CLOSED)
    isConnected = false
    lastError = undefined
  })

  return {
    isReplica: () => isConnected && isReplica,
    reportRole,
    end() {
      isOver = true
    },
  }

  function reportRole(): void {
    if (!isConnected || isOver) return
    const role = client instanceof Cluster ? 'master' : roleIn(info())
    isReplica = role === 'slave'
    if (isReplica) report.readOnly()
    else report.connected(role === undefined ? undefined : role === 'master')
  }

  /** ioredis does not report an error reply for which it closes the connection. */
  function watchErrorReplies(): void {
    const { reconnectOnError } = client.options as RedisOptions
    if (client instanceof Cluster || !reconnectOnError) return
    client.options.reconnectOnError = (error) => {
      const isClosing = reconnectOnError(error)
      if (!isClosing || isOver) return isClosing
      lastError = error.message
      if (/READONLY/.test(error.message)) report.readOnly()
      return isClosing
    }
  }

  async function tell(reason: string): Promise<void> {
    if (isOver || reported.has(reason)) return
    reported.add(reason)
    const known = reason === CLOSED ? await tryConnection(probe) : reason + hint(reason, probe)
    if (isOver || isConnected || (known !== reason && reported.has(known))) return
    reported.add(known)
    report.unreachable(known)
  }

  function reasonOf(error: Error & { lastNodeError?: Error | null }): string {
    // The error of a Cluster whose nodes have all failed.
    if (error.lastNodeError) return reasonOf(error.lastNodeError)
    // ioredis reports only this if a node does not answer CLUSTER SLOTS.
    if (error.message === 'timeout') return 'no answer'
    if (/^All sentinels are unreachable/.test(error.message)) {
      const [, cause = ''] = /Last error: (.*)$/.exec(error.message) ?? []
      if (cause) return cause
      if (sentinelError?.endsWith('null')) return 'the Sentinels know no master of this name'
      return sentinelError ?? 'no Sentinel can be reached'
    }
    return error.message || error.name
  }
}

function roleIn(info: string | undefined): string | undefined {
  return /^role:(\w+)/m.exec(info ?? '')?.[1]
}

/** A server without TLS takes the handshake for an incomplete command and waits. */
function hint(reason: string, { tls }: Probe): string {
  return tls && /timed ?out|no answer/i.test(reason) ? ' (does the server speak TLS?)' : ''
}

/** ioredis reports most connection failures to a Sentinel or node only with this text. */
const CLOSED = 'Connection is closed.'

/** @returns why communication with the server at this address fails */
async function tryConnection({ address, tls }: Probe): Promise<string> {
  const socket = tls ? connectTls({ ...tls, ...address }) : connect(address)
  const { promise, resolve } = Promise.withResolvers<string>()
  socket.once(tls ? 'secureConnect' : 'connect', () => socket.write('PING\r\n'))
  socket.once('data', () => resolve('the connection was closed, though the server answers'))
  socket.once('error', (error) => resolve(error.message))
  socket.once('close', () =>
    resolve(`the server closed the connection${tls ? '' : ' (does it expect TLS?)'}`),
  )
  const tooLong = setTimeout(() => resolve('no answer'), PROBE_MS)
  const reason = await promise
  clearTimeout(tooLong)
  socket.destroy()
  return reason
}
