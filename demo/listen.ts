import type { Server } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'

/** Another program listens on that port already. */
export class PortInUseError extends Error {
  readonly code = 'PORT_IN_USE'
  readonly port: number

  constructor(port: number, cause: unknown) {
    super(`Port ${port} is in use`, { cause })
    this.port = port
  }
}

/**
 * @param port 0 takes a free one
 * @param host loopback by default
 * @returns the port
 * @throws PortInUseError
 */
export async function listen(server: Server, port: number, host = '127.0.0.1'): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject).listen(port, host, resolve)
  await promise.catch((error: unknown) => {
    throw asPortInUse(error, port)
  })
  server.off('error', reject)
  return (server.address() as AddressInfo).port
}

/** Whether a program listens on a port, at any address of loopback. */
export async function isInUse(port: number): Promise<boolean> {
  for (const host of ['127.0.0.1', '::1']) {
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    const server = createServer()
      .once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      .listen(port, host, () => server.close(() => resolve(undefined)))
    // A machine may have no IPv6.
    if ((await promise) === 'EADDRINUSE') return true
  }
  return false
}

/** Closes at once, even if browsers keep connections open. */
export async function stop(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  server.closeAllConnections()
  await promise
}

/** Converts the error if it says that the port is in use. */
export function asPortInUse(error: unknown, port: number): unknown {
  const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
  return inUse ? new PortInUseError(port, error) : error
}
