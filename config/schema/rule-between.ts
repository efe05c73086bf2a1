import { z } from 'zod'
import { isObject } from '../../lib/type-guards.ts'

/** A fault, if any: a message, with a path below the object if it concerns one option of it. */
export type RuleFault = string | [path: (string | number)[], message: string] | false | undefined

/**
 * A rule between some options of an object: checked if these are valid by themselves, even if others are
 * not. Zod's own checks run only if the whole object is valid, so faults would be reported one after the other.
 *
 * @param options paths such as `session.lifetime`
 * @param faultsOf also gets a function that tells whether another option is valid by itself
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
