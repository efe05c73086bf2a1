import { setTimeout as wait } from 'node:timers/promises'

/**
 * Asks again and again until the answer is something: for what tells nobody that it has happened.
 *
 * @returns that answer
 * @throws after `withinMs`, with the error of the last try if it threw one
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  withinMs = 10_000,
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
