import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { UpstreamOptions } from '../../config/index.ts'
import type { GatewayError } from '../errors/catalogue.ts'
import type { UpstreamAnswer } from './forwarder.ts'
import { type HandshakeAnswer, shakeHands } from './handshake.ts'
import type { Report } from './report.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { endSoon, holdBack, join } from './tunnel.ts'
import { withAgreement, withHandshake } from './websocket.ts'

/** A browser's request for a WebSocket. */
export interface Wish {
  raw: IncomingMessage
  /** What came behind it. */
  head: Buffer
  /** As the upstream is to see it, with its query. */
  path: string
  /** With the token that there is now. */
  headers(): OutgoingHeaders
  /** After a 401: true when there is another token. */
  replaceRefused(answer: IncomingMessage): Promise<boolean>
  report(): Report
  /** Aborts when the browser has gone. */
  signal: AbortSignal
}

/** A WebSocket to which the upstream has agreed: what is left to do. */
export interface Agreed {
  /** The 101, as the upstream sent it. */
  response: IncomingMessage
  /** Sends it to the browser, and what then comes either way. @param headers by the rules for answers */
  open(headers: OutgoingHeaders): void
}

/**
 * Opens WebSockets as a tunnel: the upstream hears the browser's own handshake first, and what it says is what the
 * browser hears. Nothing of what then passes is read, so there is no limit to a message and none is kept.
 *
 * @returns the upstream's agreement, or its refusal for the browser
 * @throws GatewayError BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT
 */
export async function askForWebSocket(
  upstream: UpstreamOptions,
  wish: Wish,
): Promise<Agreed | { refusal: UpstreamAnswer }> {
  const { raw, head } = wish
  const browser = raw.socket
  const early = holdBack(browser, head, () => browser.destroy())
  try {
    const { response, opened } = await answerTo(upstream, wish)
    if (!opened) {
      early.discard()
      return { refusal: refusalOf(response) }
    }
    return {
      response,
      open(headers) {
        early.release()
        if (opened.head.length > 0) opened.socket.unshift(opened.head)
        browser.write(switching(withAgreement(headers, response.headers)), 'latin1')
        join(browser, opened.socket)
      },
    }
  } catch (error) {
    early.discard()
    throw error
  }
}

/** Asks once more where the upstream refused a token that has a successor. */
async function answerTo(upstream: UpstreamOptions, wish: Wish): Promise<HandshakeAnswer> {
  const answer = await ask(upstream, wish)
  if (answer.response.statusCode !== 401) return answer
  try {
    const isReplaced = await wish.replaceRefused(answer.response)
    wish.signal.throwIfAborted()
    if (!isReplaced) return answer
  } catch (error) {
    answer.response.destroy()
    throw error
  }
  answer.response.destroy()
  return ask(upstream, wish)
}

/** In terms of the forwarder, so that it goes out like any other answer. */
function refusalOf(response: IncomingMessage): UpstreamAnswer {
  const { statusCode = 0, headers } = response
  return { statusCode, headers, trailers: {}, body: response } as unknown as UpstreamAnswer
}

/** Ends a WebSocket in good order. */
export function endWebSocket(browser: Socket): void {
  endSoon(browser)
}

async function ask(upstream: UpstreamOptions, wish: Wish): Promise<HandshakeAnswer> {
  const { raw, path, signal } = wish
  const report = wish.report()
  const headers = withHandshake(wish.headers(), raw.headers)
  const answer = await shakeHands(upstream, { path, headers, signal }).catch((error: GatewayError) => {
    if (!signal.aborted) report.failed(error)
    throw error
  })
  report.answered(answer.response.statusCode ?? 0)
  // It went in this very turn.
  if (signal.aborted) answer.opened?.socket.destroy()
  signal.throwIfAborted()
  return answer
}

function switching(headers: OutgoingHeaders): string {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((each) => `${name}: ${each}\r\n`),
  )
  return `HTTP/1.1 101 ${STATUS_CODES[101]}\r\n${lines.join('')}\r\n`
}
