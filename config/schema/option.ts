import { z } from 'zod'

/** Facts of an option besides its schema. Messages, documents and descriptions derive from both. */
export interface Facts {
  /** Environment variable. Options of an upstream have none: they are in the file. */
  env?: string
  /** Markdown, in one line. `{session.lifetime}` is replaced by the reader's name of that option. */
  meaning: string
  /** What to do if a required option is missing. */
  missing?: string
  /** The default in Markdown, if it is not a constant. */
  defaultText?: string
  /** No message shows the value. The description of the configuration shows a mask (`true`), or this function's result. */
  secret?: true | ((text: string) => string)
  /** `path`: in the file relative to it. `content`: either the text itself or the path of a file that holds it. */
  file?: 'path' | 'content'
}

/** Facts of each option: `schema.register(facts, { … })`. */
export const facts = z.registry<Facts>()

/**
 * From text to typed value.
 * @throws TypeError whose message follows the option's name in a sentence ("must be …"), says how to fix the value
 * and repeats nothing of it, as it may be a secret; an AggregateError of these for several faults
 */
export type Parser<T> = (text: string) => T

export const text = z.string('must be a string, in quotes')

/**
 * @param written the form in a file or in the plugin's options, if it is not only text; the loader converts it
 * to text
 * @param show the inverse of `parse`
 */
export function parsed<T, W extends z.ZodType = typeof text>(
  parse: Parser<T>,
  {
    written,
    separator = '',
    show = String,
  }: { written?: W; separator?: string; show?: (value: T) => string } = {},
) {
  return z.codec((written ?? text) as W, z.custom<T>(), {
    decode(value, { issues }) {
      try {
        return parse([value].flat().join(separator))
      } catch (error) {
        for (const { message } of error instanceof AggregateError ? error.errors : [error as Error])
          issues.push({ code: 'custom', message, input: value })
        return z.NEVER
      }
    },
    encode: (value) => show(value as T) as z.output<W>,
  })
}

/** @param kind prefix in messages, such as `a port, ` */
export function wholeNumber(least: number, most: number, kind = '') {
  const message = `must be ${kind}a whole number from ${least} to ${most}`
  return z.int(message).min(least, message).max(most, message)
}

/** In the environment one line, in the file also an array. Each wrong entry is a separate fault. */
export function list<Entries extends z.ZodType, W = string>(
  entries: Entries,
  // The default is right only for W = string, which a default can't tell the compiler.
  { separator = ',', written = text as unknown as z.ZodType<W, W> } = {},
) {
  return z.codec(z.union([written, z.array(written)], 'must be a string or an array of strings'), entries, {
    decode: (value) =>
      (Array.isArray(value) ? value : splitList(String(value), separator)) as z.input<Entries>,
    encode: (value) => (value as string[]).join(separator) as W,
  })
}

/** The entries between separators, without blanks. */
export function splitList(text: string, separator = ','): string[] {
  return text
    .split(separator)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}

/** A number of milliseconds: names of parsed options of this type end in `Ms`. */
export type Milliseconds = number & z.BRAND<'ms'>

/** `500ms`, `15s`, `10m`, `8h` or `7d`. */
export type Duration = `${number}${keyof typeof units}`

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const milliseconds = z.custom<Milliseconds>()

// The pattern ensures the template literal type, but zod's `regex` keeps `string`.
const durationText = text.regex(/^\d{1,15}(ms|s|m|h|d)$/, {
  error: ({ input }) =>
    /^[\d.]+$/.test(String(input))
      ? 'lacks a unit: write 500ms, 15s, 10m, 8h or 7d'
      : 'must be a duration such as 500ms, 15s, 10m, 8h or 7d',
}) as unknown as z.ZodType<Duration, Duration>

/** Bounds included. */
export function duration(minimum: Duration, maximum: Duration) {
  return z.codec(durationText, milliseconds, {
    decode(written, { issues }) {
      const ms = parseDuration(written)
      if (ms >= parseDuration(minimum) && ms <= parseDuration(maximum)) return ms as Milliseconds
      issues.push({ code: 'custom', message: `must be from ${minimum} to ${maximum}`, input: written })
      return z.NEVER
    },
    encode: formatDuration,
  })
}

export function isDuration(schema: z.ZodType): boolean {
  const inner = unwrap(schema)
  return inner instanceof z.ZodCodec && inner.out === milliseconds
}

export function parseDuration(text: Duration): number {
  const [, count, unit] = /^(\d+)(\w+)$/.exec(text) ?? []
  return Number(count) * units[unit as keyof typeof units]
}

/** In the largest unit that needs no fraction. */
export function formatDuration(ms: number): Duration {
  if (ms === 0) return '0s'
  const [unit, size] = Object.entries(units).findLast(([, length]) => ms % length === 0) ?? ['ms', 1]
  return `${ms / size}${unit as 'ms'}`
}

/** The schema without its default and optionality. */
export function unwrap(schema: z.ZodType): z.ZodType {
  const isWrapped = schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault
  return isWrapped ? unwrap(schema.unwrap() as z.ZodType) : schema
}
