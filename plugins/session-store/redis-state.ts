import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Probe, RedisClient } from './redis-client.ts'

/** State changes of the Redis connection, each reported once. */
export interface RedisReport {
  connected(): void
  /** The connection was lost. */
  lost(reason: string): void
  /** Connecting failed. Called once per reason until it succeeds. */
  unreachable(reason: string): void
  /** The user has no permission for the change channel, or has it again. */
  channelRefused(isRefused: boolean): void
  /** The user has no permission for INFO. */
  infoRefused(): void
}

export const noReport: RedisReport = {
  connected() {},
  lost() {},
  unreachable() {},
  channelRefused() {},
  infoRefused() {},
}

const PROBE_MS = 2_000

/**
 * Reports the state of a client's connection. Never reveals a password: ioredis errors contain commands, but not in
 * their message.
 * @returns a function that stops the reports, for when the connection is closed on purpose
 */
export function reportState(client: RedisClient, probe: Probe, report: RedisReport): () => void {
  let isConnected = false
  let isOver = false
  /** Reasons reported during this outage, so that each is reported once and not with every try. */
  let reported = new Set<string>()
  let lastError: string | undefined
  let sentinelError: string | undefined

  client.on('ready', () => {
    isConnected = true
    reported = new Set()
    lastError = undefined
    report.connected()
  })
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

  return () => {
    isOver = true
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
