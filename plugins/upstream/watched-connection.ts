import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { errors } from 'undici'
import { AnswerHead } from './answer.ts'

/** What a connection to an upstream is about, from one request to the next. */
interface Watch {
  requests: number
  /** Something of an answer to the last request has come. */
  isAnswering: boolean
  /** By HTTP/1.1. */
  head: AnswerHead
  sentAt: number
  deadline?: NodeJS.Timeout | undefined
}

const watches = new WeakMap<Duplex, Watch>()
const ofUnheard = new WeakSet<object>()

/**
 * True for the error of a request on a connection that had served others and was closed before any byte of an answer:
 * most likely before the request arrived, when the upstream ended a connection that it took for unused.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-9.3.1
 */
export function isUnheard(error: unknown): boolean {
  return error instanceof Error && ofUnheard.has(error)
}

/**
 * Looks after a connection that undici is about to use: mends heads of answers, and holds interim answers to the time
 * that an upstream has for its final one, which each of them would extend.
 *
 * @param timeoutMs to the first byte of the final answer
 */
export function watchConnection(socket: Socket, timeoutMs: number): void {
  const watch: Watch = { requests: 0, isAnswering: false, head: new AnswerHead(), sentAt: 0 }
  watches.set(socket, watch)
  const { head } = watch
  const read = socket.read.bind(socket)
  socket.read = (size) => {
    const chunk = read(size)
    if (chunk === null) return chunk
    watch.isAnswering = true
    if (head.isOver) return chunk
    head.read(chunk)
    if (head.isInterim) watch.deadline ??= endLate(socket, watch.sentAt, timeoutMs)
    else stopClock(watch)
    return chunk
  }
  socket.on('error', (error) => {
    if (watch.requests > 1 && !watch.isAnswering && isClosing(error)) ofUnheard.add(error)
  })
  socket.once('close', () => stopClock(watch))
}

/** By HTTP/2 no bytes are seen here. */
export function answerBegins(socket: Duplex): void {
  const watch = watches.get(socket)
  if (watch) watch.isAnswering = true
}

subscribe('undici:client:sendHeaders', (message) => {
  const watch = watches.get((message as { socket: Socket }).socket)
  if (!watch) return
  watch.requests++
  watch.isAnswering = false
  watch.sentAt = performance.now()
  stopClock(watch)
  watch.head.expect()
})

/** Once the time is over, but for an upload that is still going on. */
function endLate(socket: Socket, sentAt: number, timeoutMs: number): NodeJS.Timeout {
  const { bytesWritten } = socket
  const remaining = Math.max(0, sentAt + timeoutMs - performance.now())
  const timer = setTimeout(() => {
    const watch = watches.get(socket)
    if (!watch || socket.bytesWritten === bytesWritten) socket.destroy(new errors.HeadersTimeoutError())
    else watch.deadline = endLate(socket, performance.now(), timeoutMs)
  }, remaining)
  return timer.unref()
}

function stopClock(watch: Watch): void {
  if (watch.deadline) clearTimeout(watch.deadline)
  watch.deadline = undefined
}

function isClosing(error: Error & { code?: string }): boolean {
  return error instanceof errors.SocketError || error.code === 'ECONNRESET' || error.code === 'EPIPE'
}
