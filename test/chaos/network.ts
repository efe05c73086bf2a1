import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A network path to a server, which can drop data silently. */
export interface Network {
  port: number
  /** From now on all data is lost. Connections stay open, and new ones are accepted. */
  cut(): void
  /** From now on requests arrive, but answers are lost. */
  cutAnswers(): void
  /** Closes the cut connections; new ones work. */
  restore(): void
  /** Closes all connections; new ones go to another server. */
  redirect(port: number): void
  close(): Promise<void>
}

/** @param delayMs delay in each direction */
export async function startNetwork(firstPort: number, delayMs = 0): Promise<Network> {
  const sockets = new Set<Socket>()
  let port = firstPort
  let isCut = false
  let answersAreCut = false
  const server = createServer((near) => {
    keep(near)
    if (isCut) {
      near.pause()
      return
    }
    const far = keep(connect(port, '127.0.0.1'))
    if (delayMs === 0) near.pipe(far)
    else near.on('data', (requests) => later(() => far.write(requests)))
    far.once('close', () => near.destroy())
    far.on('data', (answers) => {
      if (!answersAreCut) later(() => near.write(answers))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      isCut = true
      for (const socket of sockets) socket.unpipe().pause()
    },
    cutAnswers() {
      answersAreCut = true
    },
    redirect(otherPort) {
      port = otherPort
      for (const socket of sockets) socket.destroy()
    },
    restore() {
      isCut = false
      for (const socket of sockets) if (answersAreCut || socket.isPaused()) socket.destroy()
      answersAreCut = false
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }

  function later(send: () => void): void {
    if (delayMs === 0) send()
    else setTimeout(send, delayMs)
  }

  function keep(socket: Socket): Socket {
    sockets.add(socket)
    return socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  }
}
