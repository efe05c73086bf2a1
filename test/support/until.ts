import { setTimeout as wait } from 'node:timers/promises'

/**
 * When a test gives up waiting, in milliseconds. Far longer than anything takes, on a busy machine too, and below the
 * time limit of a test in test/run.ts, so that the failure says what was awaited.
 */
export const giveUpMs = 60_000

/**
 * Polls until the answer is truthy, for conditions without an event.
 *
 * @returns that answer
 * @throws after `withinMs`, with the error of the last try if it threw one
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  withinMs = giveUpMs,
): Promise<Exclude<T, false | 0 | '' | null | undefined>> {
  const giveUpAt = performance.now() + withinMs
  for (;;) {
    const tooLate = performance.now() >= giveUpAt
    try {
      const answer = await condition()
      if (answer) return answer as Exclude<T, false | 0 | '' | null | undefined>
    } catch (error) {
      if (tooLate) throw error
    }
    if (tooLate) throw new Error(`Not so within ${withinMs} ms: ${condition}`)
    await wait(20)
  }
}
