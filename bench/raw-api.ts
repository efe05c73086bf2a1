import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** An API that costs little: it looks at no more of a request than benchmarks have to know. */
export interface RawApi {
  url: string
  /** Requests without one of the tokens that it accepts, since the last call. */
  refused(): number
  /** Every bearer token that came. */
  tokens: Set<string>
  close(): Promise<void>
}

export interface RawApiOptions {
  /** Bodies by path. */
  bodies: Record<string, Buffer>
  /** Whether each request must carry a bearer token. */
  needsToken: boolean
}

const headEnd = Buffer.from('\r\n\r\n')
const authorization = 'authorization: Bearer '

/** For requests without a body, on any number of connections that are kept open. */
export async function startRawApi({ bodies, needsToken }: RawApiOptions): Promise<RawApi> {
  const sockets = new Set<Socket>()
  const tokens = new Set<string>()
  let refused = 0
  const answers = new Map(Object.entries(bodies).map(([path, body]) => [path, answer('200 OK', body)]))
  const unauthorized = answer('401 Unauthorized', Buffer.alloc(0))
  const unknown = answer('404 Not Found', Buffer.alloc(0))

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    let pending = Buffer.alloc(0)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      for (let end = pending.indexOf(headEnd); end >= 0; end = pending.indexOf(headEnd)) {
        respond(socket, pending.toString('latin1', 0, end + 2))
        pending = pending.subarray(end + headEnd.length)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    tokens,
    refused() {
      const count = refused
      refused = 0
      return count
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }

  function respond(socket: Socket, head: string): void {
    if (!isAuthorized(head)) {
      refused++
      socket.write(unauthorized)
    } else socket.write(answers.get(head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/1.1'))) ?? unknown)
  }

  function isAuthorized(head: string): boolean {
    if (!needsToken) return true
    const start = head.indexOf(authorization)
    if (start < 0) return false
    tokens.add(head.slice(start + authorization.length, head.indexOf('\r', start)))
    return true
  }
}

function answer(status: string, body: Buffer): Buffer {
  const head = [
    `HTTP/1.1 ${status}`,
    'Content-Type: application/json',
    'Cache-Control: no-store',
    `Content-Length: ${body.length}`,
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body])
}
