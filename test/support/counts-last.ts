/** An event of the test runner. */
export interface TestEvent {
  type: string
  data: { file?: string; nesting?: number }
}

/**
 * Passes the test runner's events on, with its final counts after the coverage report instead of before it, so
 * that the last lines show the result.
 */
export async function* countsLast<T extends TestEvent>(events: AsyncIterable<T>): AsyncGenerator<T> {
  const counts: T[] = []
  for await (const event of events) {
    if (isCount(event)) counts.push(event)
    else yield event
  }
  yield* counts
}

/** Diagnostics of a test have its file, those of the whole run have none. */
function isCount({ type, data }: TestEvent): boolean {
  return type === 'test:diagnostic' && data.nesting === 0 && data.file === undefined
}
