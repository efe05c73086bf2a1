/** The configuration can't be used. The message has a line for each fault and holds no secret. */
export class ConfigurationError extends Error {
  readonly code = 'CONFIGURATION_INVALID'
  /** One sentence each: which option, what is wrong, how to mend it. */
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`
    super(`The configuration has ${count}:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`)
    this.name = 'ConfigurationError'
    this.faults = faults
  }
}
