/** As the test runner reports it. */
export interface TestEvent {
  type: string
  data: { file?: string; nesting?: number }
}

/**
 * Passes the test runner's events on, its closing counts behind the coverage report instead of before it, so
 * that the last lines say how it went.
 */
export async function* countsLast<T extends TestEvent>(events: AsyncIterable<T>): AsyncGenerator<T> {
  const counts: T[] = []
  for await (const event of events) {
    if (isCount(event)) counts.push(event)
    else yield event
  }
  yield* counts
}

/** Diagnostics of a test come with the file that it stands in, those of the whole run without one. */
function isCount({ type, data }: TestEvent): boolean {
  return type === 'test:diagnostic' && data.nesting === 0 && data.file === undefined
}
