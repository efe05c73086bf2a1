import { type KeyPair, type KeyPairFault, keyPairFaults } from '../../../config/index.ts'

/** Change of a certificate and its key since the last check. */
export type Change = { is: 'none' } | { is: 'good'; pair: KeyPair } | { is: 'bad'; reason: string }

/**
 * Returns a function that reports what has changed since its last call. It compares the contents of the files, so it
 * does not matter how they were replaced: overwritten, renamed, or by changing a symbolic link.
 *
 * @param read throws if the files can't be read
 */
export function keyPairChanges(read: () => Promise<KeyPair>): () => Promise<Change> {
  let seen = ''

  return async () => {
    const found = await readPair(read)
    const description = JSON.stringify(found)
    if (description === seen) return { is: 'none' }
    seen = description
    return found
  }
}

async function readPair(read: () => Promise<KeyPair>): Promise<Change> {
  let pair: KeyPair
  try {
    pair = await read()
  } catch (error) {
    return { is: 'bad', reason: `A file can't be read (${(error as NodeJS.ErrnoException).code})` }
  }
  const faults = keyPairFaults(pair)
  return faults.length === 0 ? { is: 'good', pair } : { is: 'bad', reason: faults.map(sentence).join('; ') }
}

const variables = { cert: 'TLS_CERT_FILE', key: 'TLS_KEY_FILE' }

function sentence({ file, message }: KeyPairFault): string {
  return `${variables[file]} ${message}`
}
