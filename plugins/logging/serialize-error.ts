const maxCauses = 5
/** Of a message and of a stack, in characters: either may quote what an issuer or a browser has sent. */
const maxMessage = 1000
const maxStack = 4000

/**
 * An error for the log, with its causes and their stacks. Only what is known to be harmless: libraries hang answers of
 * the issuer, tokens included, on their errors.
 */
export function serializeError(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error, message: '', stack: '' }
  return { ...describe(error), causes: causesOf(error).map(describe) }
}

/** With the first of those that an AggregateError collects, as for a host of several addresses. */
function causesOf(error: Error): Error[] {
  const causes: Error[] = []
  for (let cause = causeOf(error); cause && causes.length < maxCauses; cause = causeOf(cause)) {
    causes.push(cause)
  }
  return causes
}

function causeOf(error: Error): Error | undefined {
  const cause = error instanceof AggregateError ? error.errors[0] : error.cause
  return cause instanceof Error ? cause : undefined
}

function describe(error: Error) {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const { name, message, stack = '' } = error
  return {
    type: name,
    message: quotes(error) ? '' : message.slice(0, maxMessage),
    ...(code !== undefined && { code }),
    stack: (quotes(error) ? stack.replace(message, '') : withShortMessage(stack, message)).slice(0, maxStack),
  }
}

/** A stack begins with the message, of which a long one would leave no room for the rest. */
function withShortMessage(stack: string, message: string): string {
  return message.length > maxMessage ? stack.replace(message, () => message.slice(0, maxMessage)) : stack
}

/** `JSON.parse` repeats what stands around the fault, be it a token. */
function quotes(error: Error): boolean {
  return error instanceof SyntaxError
}
