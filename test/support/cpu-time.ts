/** Milliseconds of CPU time that a computation takes: other processes on the machine do not add to it. */
export function cpuTimeOf(compute: () => void): number {
  const before = process.cpuUsage()
  compute()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
