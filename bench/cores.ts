import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

/**
 * Keeps a process on one core, so that load and server don't take each other's time. Does nothing where there is only
 * one, or no `taskset` (Linux).
 * @returns whether it did
 */
export function pin(pid: number, core: number): boolean {
  if (availableParallelism() < 2 && core > 0) return false
  try {
    execFileSync('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
