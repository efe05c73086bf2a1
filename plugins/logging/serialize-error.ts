const maxCauses = 5

/**
 * An error for the log. Only what is known to be harmless: libraries hang answers of the issuer, tokens included,
 * on their errors.
 */
export function serializeError(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error, message: '', stack: '' }
  return { ...describe(error), stack: error.stack ?? '', causes: causesOf(error).map(describe) }
}

function causesOf(error: Error): Error[] {
  const causes: Error[] = []
  for (let { cause } = error; cause instanceof Error && causes.length < maxCauses; { cause } = cause) {
    causes.push(cause)
  }
  return causes
}

function describe(error: Error) {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return { type: error.name, message: error.message, ...(code !== undefined && { code }) }
}
