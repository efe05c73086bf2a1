import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { UpstreamOptions } from '../../config/index.ts'
import type { GatewayError } from '../errors/catalogue.ts'
import type { Report } from './report.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { bufferEarlyData, pipeBothWays } from './tunnel.ts'
import type { UpstreamAnswer } from './upstream-answer.ts'
import { type HandshakeAnswer, sendHandshake, withAgreement, withHandshake } from './websocket-handshake.ts'

/** A browser's request for a WebSocket. */
export interface WebSocketRequest {
  raw: IncomingMessage
  /** Bytes that followed the request. */
  head: Buffer
  /** Path and query on the upstream. */
  path: string
  /** Headers for the upstream, with the current access token. */
  headers(): OutgoingHeaders
  /** To be called with each answer. */
  answered(answer: IncomingMessage): void
  /** To be called after a 401. Resolves with true when the handshake may now succeed. */
  mend(answer: IncomingMessage): Promise<boolean>
  report(): Report
  /** Aborts when the browser disconnects. */
  signal: AbortSignal
}

/** A WebSocket that the upstream has accepted. */
export interface AcceptedWebSocket {
  /** The 101, as the upstream sent it. */
  response: IncomingMessage
  /** Sends the 101 to the browser and starts the tunnel. @param headers filtered for the browser */
  open(headers: OutgoingHeaders): void
}

/**
 * Opens a WebSocket as a tunnel: the browser's own handshake goes to the upstream, and the upstream's answer to the
 * browser. The gateway does not parse or buffer messages, so their size is not limited.
 *
 * @returns the accepted WebSocket, or the upstream's refusal for the browser
 * @throws GatewayError BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT
 */
export async function openUpstreamWebSocket(
  upstream: UpstreamOptions,
  request: WebSocketRequest,
): Promise<AcceptedWebSocket | { refusal: UpstreamAnswer }> {
  const { raw, head } = request
  const browser = raw.socket
  const early = bufferEarlyData(browser, head, () => browser.destroy())
  try {
    const { response, opened } = await handshakeAnswer(upstream, request)
    if (!opened) {
      early.discard()
      return { refusal: refusalOf(response) }
    }
    return {
      response,
      open(headers) {
        early.release()
        if (opened.head.length > 0) opened.socket.unshift(opened.head)
        browser.write(switchingProtocols(withAgreement(headers, response.headers)), 'latin1')
        pipeBothWays(browser, opened.socket)
      },
    }
  } catch (error) {
    early.discard()
    throw error
  }
}

/** Repeats the handshake if the upstream refused it and `mend` can help. */
async function handshakeAnswer(
  upstream: UpstreamOptions,
  request: WebSocketRequest,
): Promise<HandshakeAnswer> {
  for (;;) {
    const answer = await sendOnce(upstream, request)
    if (answer.response.statusCode !== 401) return answer
    try {
      const isMended = await request.mend(answer.response)
      request.signal.throwIfAborted()
      if (!isMended) return answer
    } catch (error) {
      answer.response.destroy()
      throw error
    }
    answer.response.destroy()
  }
}

/** As an answer of the client, so that it is sent like any other. */
function refusalOf(response: IncomingMessage): UpstreamAnswer {
  const { statusCode = 0, headers } = response
  return { statusCode, headers, trailers: {}, isComplete: false, body: response }
}

async function sendOnce(upstream: UpstreamOptions, request: WebSocketRequest): Promise<HandshakeAnswer> {
  const { raw, path, signal } = request
  const report = request.report()
  const headers = withHandshake(request.headers(), raw.headers)
  const answer = await sendHandshake(upstream, { path, headers, signal }).catch((error: GatewayError) => {
    if (!signal.aborted) report.failed(error)
    throw error
  })
  report.answered(answer.response.statusCode ?? 0)
  request.answered(answer.response)
  // The browser disconnected in the same turn of the event loop.
  if (signal.aborted) answer.opened?.socket.destroy()
  signal.throwIfAborted()
  return answer
}

function switchingProtocols(headers: OutgoingHeaders): string {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((each) => `${name}: ${each}\r\n`),
  )
  return `HTTP/1.1 101 ${STATUS_CODES[101]}\r\n${lines.join('')}\r\n`
}
