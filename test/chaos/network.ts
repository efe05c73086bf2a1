import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** The way to a server, on which everything can get lost without anybody being told. */
export interface Network {
  port: number
  /** From now on nothing arrives any more. Connections stay open, and new ones are accepted. */
  cut(): void
  /** Connections that were cut are gone, new ones go through. */
  mend(): void
  close(): Promise<void>
}

export async function startNetwork(port: number): Promise<Network> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer((near) => {
    keep(near)
    if (isCut) near.pause()
    else near.pipe(keep(connect(port, '127.0.0.1'))).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      isCut = true
      for (const socket of sockets) socket.unpipe().pause()
    },
    mend() {
      isCut = false
      for (const socket of sockets) if (socket.isPaused()) socket.destroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }

  function keep(socket: Socket): Socket {
    sockets.add(socket)
    return socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  }
}
