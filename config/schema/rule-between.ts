import { z } from 'zod'

/** What is wrong, if anything: a message, with a path below the object where it is about one option of it. */
export type RuleFault = string | [path: (string | number)[], message: string] | false | undefined

/**
 * A rule between some options of an object: asked once these are right by themselves, whatever is wrong with the
 * others. Zod's own checks would wait until nothing is wrong at all, and faults would come to light one by one.
 *
 * @param options paths such as `session.lifetime`
 * @param faultsOf is also told how to ask whether something else is right by itself
 */
export function ruleBetween<T>(
  options: readonly string[],
  faultsOf: (value: T, isRight: (path: string) => boolean) => RuleFault[],
): z.core.$ZodCheck<T> {
  const rule = z.check<T>(({ value, issues }) => {
    for (const fault of faultsOf(value, (path) => isRight(path, issues))) {
      if (!fault) continue
      const [path, message] = typeof fault === 'string' ? [[], fault] : fault
      issues.push({ code: 'custom', path, message, input: undefined })
    }
  })
  rule._zod.def.when = ({ value, issues }) =>
    isObject(value) && options.every((option) => isRight(option, issues))
  return rule
}

function isRight(option: string, issues: z.core.$ZodRawIssue[]): boolean {
  return !issues.some(({ path = [] }) => `${path.join('.')}.`.startsWith(`${option}.`))
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
