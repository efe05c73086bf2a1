import { after } from 'node:test'

/**
 * Ends a test file, as failed, that has something open long after its last test, such as a process that a failed set-up
 * has left behind. It would never end, and the whole run with it.
 */
export function endIfStillOpen(withinMs: number): void {
  after(() => {
    const end = () => {
      console.error(`Still open after the last test: ${process.getActiveResourcesInfo().join(', ')}`)
      process.exit(1)
    }
    setTimeout(end, withinMs).unref()
  })
}

/**
 * Lets what the file has started end with it when the run is aborted: by default a signal ends a process without the
 * event `exit`, on which tests end their processes.
 */
export function exitOnSigterm(): void {
  process.once('SIGTERM', () => process.exit(143))
}
