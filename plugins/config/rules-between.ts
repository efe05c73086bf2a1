import { z } from 'zod'

/**
 * A rule between some options of an object: asked once these are right by themselves, whatever is wrong with the
 * others. Zod's own checks would wait until nothing is wrong at all, and faults would come to light one by one.
 *
 * @param faultsOf what is wrong, as path below the object and message
 */
export function ruleBetween<T extends object>(
  options: readonly (keyof T)[],
  faultsOf: (value: T) => [path: string[], message: string][],
): z.core.$ZodCheck<T> {
  const rule = z.check<T>(({ value, issues }) => {
    for (const [path, message] of faultsOf(value)) {
      issues.push({ code: 'custom', path, message, input: undefined })
    }
  })
  rule._zod.def.when = ({ value, issues }) => {
    const isFault = ({ path: [option] = [] }: z.core.$ZodRawIssue) => options.some((name) => name === option)
    return isObject(value) && !issues.some(isFault)
  }
  return rule
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
