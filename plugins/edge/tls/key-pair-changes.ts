import { type KeyPair, type KeyPairFault, keyPairFaults } from '../../../config/index.ts'

/** What has become of a certificate and its key. */
export type Change = { is: 'none' } | { is: 'good'; pair: KeyPair } | { is: 'bad'; reason: string }

/**
 * Tells with each call what has changed since the last. It looks at what the files hold, so it makes no difference
 * how they were replaced: written over, renamed, or behind a symbolic link that now leads elsewhere.
 *
 * @param read throws when they can't be read
 */
export function keyPairChanges(read: () => Promise<KeyPair>): () => Promise<Change> {
  let seen = ''

  return async () => {
    const found = await look(read)
    const description = JSON.stringify(found)
    if (description === seen) return { is: 'none' }
    seen = description
    return found
  }
}

async function look(read: () => Promise<KeyPair>): Promise<Change> {
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
