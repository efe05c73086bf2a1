const maxCauses = 5
/** Maximum lengths in characters: messages and stacks may quote data of an issuer or a browser. */
const maxMessage = 1000
const maxStack = 4000

/**
 * An error for the log, with its causes and their stacks. Only known properties are copied: libraries attach the
 * issuer's responses, tokens included, to their errors.
 */
export function serializeError(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error, message: '', stack: '' }
  return { ...describe(error), causes: causesOf(error).map(describe) }
}

/** The chain of causes. Of an AggregateError (as for a host with several addresses) it follows the first error. */
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
    message: quotesInput(error) ? '' : message.slice(0, maxMessage),
    ...(code !== undefined && { code }),
    stack: (quotesInput(error) ? stack.replace(message, '') : withShortMessage(stack, message)).slice(
      0,
      maxStack,
    ),
  }
}

/** A stack begins with the message; a long one would leave no room for the stack frames. */
function withShortMessage(stack: string, message: string): string {
  return message.length > maxMessage ? stack.replace(message, () => message.slice(0, maxMessage)) : stack
}

/** `JSON.parse` quotes the text around the fault, which may be a token. */
function quotesInput(error: Error): boolean {
  return error instanceof SyntaxError
}
