/** Runs a benchmark's clean-up in reverse order, also when it fails. */
export async function withEnding<T>(
  run: (ending: { after(end: () => Promise<unknown>): void }) => Promise<T>,
): Promise<T> {
  const ends: (() => Promise<unknown>)[] = []
  try {
    return await run({ after: (end) => ends.push(end) })
  } finally {
    for (const end of ends.reverse()) await end()
  }
}
