import { isObject } from '../../../lib/type-guards.ts'
import { deriveKeys, seal, unseal } from '../sealing.ts'

/** Seals small values for browsers, each purpose with keys of its own. */
export interface SealedValues {
  seal(value: object): string
  /** @returns undefined if it was not sealed here for this purpose, or was changed */
  open(text: string): Record<string, unknown> | undefined
}

/** Longer ones are not opened: ours have some 700 characters at the most. */
const maxLength = 4096

/** @param keys the first seals, all open */
export function createSealedValues(keys: Buffer[], purpose: string): SealedValues {
  const [first, ...older] = deriveKeys(keys, purpose)
  const sealedFor = (key: Buffer) => ({ key, id: purpose, version: 1 })

  return {
    seal: (value) => seal(value, sealedFor(first)).toString('base64url'),
    open(text) {
      if (text.length > maxLength || !/^[\w-]+$/.test(text)) return undefined
      const sealed = Buffer.from(text, 'base64url')
      for (const key of [first, ...older]) {
        const value = unseal(sealed, sealedFor(key))
        if (isObject(value)) return value
      }
      return undefined
    },
  }
}
