const maxCauses = 5

/**
 * An error for the log. Only what is known to be harmless: libraries hang answers of the issuer, tokens included,
 * on their errors.
 */
export function serializeError(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error, message: '', stack: '' }
  return { ...describe(error), stack: stackOf(error), causes: causesOf(error).map(describe) }
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
  const message = quotes(error) ? '' : error.message
  return { type: error.name, message, ...(code !== undefined && { code }) }
}

function stackOf(error: Error): string {
  const { stack = '', message } = error
  return quotes(error) ? stack.replace(message, '') : stack
}

/** `JSON.parse` repeats what stands around the fault, be it a token. */
function quotes(error: Error): boolean {
  return error instanceof SyntaxError
}
