import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/** Below are ports that browsers refuse to call; from 32768 on, those that Linux gives to whoever names none. */
const first = 20_000
const pairs = 6000

/**
 * A port of the loopback interface that nobody else takes before it is used: neither a connection, nor a server that
 * listens on port 0, nor another test, for its odd neighbour stays taken until this process ends.
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

/** @returns nothing when somebody else does */
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
