import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/** Lower ones include ports that browsers block; from 32768 on Linux assigns them as ephemeral ports. */
const first = 20_000
const pairs = 6000

/**
 * A port of the loopback interface that stays free until it is used: it is not taken by a connection, a server that
 * listens on port 0, or another test, as the odd port beside it stays taken until this process ends.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + 2 * randomInt(pairs)
    const guard = await listenOn(port + 1)
    const server = guard && (await listenOn(port))
    if (server) {
      server.close()
      await once(server, 'close')
      return port
    }
    guard?.close()
  }
}

/** @returns undefined when the port is in use */
function listenOn(port: number): Promise<Server | undefined> {
  const server = createServer().unref()
  return new Promise((resolve, reject) => {
    server.once('listening', () => resolve(server))
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen(port, '127.0.0.1')
  })
}
