import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { errors } from 'undici'
import { AnswerHead } from './answer.ts'

/** State of a connection to an upstream. */
interface Watch {
  /** Number of requests sent so far. */
  requests: number
  /** Bytes of an answer to the last request have arrived. Over HTTP/2, where they are not read here, never set. */
  isAnswering: boolean
  head: AnswerHead
  sentAt: number
  deadline?: NodeJS.Timeout | undefined
}

const watches = new WeakMap<Duplex, Watch>()
const unansweredErrors = new WeakSet<object>()

/**
 * True for the error of a request on a reused connection that was closed before any byte of an answer: most likely the
 * upstream closed an idle connection before the request arrived.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-9.3.1
 */
export function isClosedUnanswered(error: unknown): boolean {
  return error instanceof Error && unansweredErrors.has(error)
}

/**
 * Instruments a connection before undici uses it: patches heads of answers (see {@link AnswerHead}), and enforces the
 * time limit for the final answer, which undici would restart with each interim one.
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
    if (head.isInterim) watch.deadline ??= startDeadline(socket, watch.sentAt, timeoutMs)
    else clearDeadline(watch)
    return chunk
  }
  socket.on('error', (error) => {
    if (watch.requests > 1 && !watch.isAnswering && isClosing(error)) unansweredErrors.add(error)
  })
  socket.once('close', () => clearDeadline(watch))
}

subscribe('undici:client:sendHeaders', (message) => {
  const watch = watches.get((message as { socket: Socket }).socket)
  if (!watch) return
  watch.requests++
  watch.isAnswering = false
  watch.sentAt = performance.now()
  clearDeadline(watch)
  watch.head.expect()
})

/** Closes the connection after the time-out, unless an upload is still in progress. */
function startDeadline(socket: Socket, sentAt: number, timeoutMs: number): NodeJS.Timeout {
  const { bytesWritten } = socket
  const remaining = Math.max(0, sentAt + timeoutMs - performance.now())
  const timer = setTimeout(() => {
    const watch = watches.get(socket)
    if (!watch || socket.bytesWritten === bytesWritten) socket.destroy(new errors.HeadersTimeoutError())
    else watch.deadline = startDeadline(socket, performance.now(), timeoutMs)
  }, remaining)
  return timer.unref()
}

function clearDeadline(watch: Watch): void {
  if (watch.deadline) clearTimeout(watch.deadline)
  watch.deadline = undefined
}

function isClosing(error: Error & { code?: string }): boolean {
  return error instanceof errors.SocketError || error.code === 'ECONNRESET' || error.code === 'EPIPE'
}
