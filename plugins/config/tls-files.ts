import { type Files, readingFault } from './files.ts'
import { type KeyPair, type KeyPairFault, keyPairFaults, validityDoubt } from './key-pair.ts'
import type { ReadSettings } from './read-settings.ts'

/** Looks at the certificate and the key that the gateway's own TLS is to use. @param now milliseconds */
export function checkTlsFiles(settings: ReadSettings, files: Files, now: number): Checked {
  const why = 'TLS needs both, and plain HTTP neither'
  return checkKeyPair({ cert: 'TLS_CERT_FILE', key: 'TLS_KEY_FILE' }, why, settings, files, now)
}

export interface Checked {
  faults: string[]
  warnings: string[]
}

/**
 * Looks at a certificate and its key.
 * @param variables that name the two files
 * @param why both must be set
 * @param now milliseconds since the epoch
 */
export function checkKeyPair(
  variables: { cert: PathSetting; key: PathSetting },
  why: string,
  { values, isSet, label }: ReadSettings,
  files: Files,
  now: number,
): Checked {
  if (isSet(variables.cert) !== isSet(variables.key)) {
    const [set, missing] = isSet(variables.cert)
      ? [variables.cert, variables.key]
      : [variables.key, variables.cert]
    return { faults: [`${label(set)} is set without ${missing}: ${why}`], warnings: [] }
  }
  const [cert, key] = [values[variables.cert], values[variables.key]]
  if (cert === undefined || key === undefined) return { faults: [], warnings: [] }

  const { faults, doubt } = checkFiles({ cert, key }, files, now)
  return {
    faults: faults.map(
      ({ file, message }) => `${label(variables[file])} ${message} (it is ${values[variables[file]]})`,
    ),
    warnings: doubt ? [`The certificate of ${label(variables.cert)} ${doubt}: renew it`] : [],
  }
}

type PathSetting = 'TLS_CERT_FILE' | 'TLS_KEY_FILE' | 'REDIS_CERT_FILE' | 'REDIS_KEY_FILE'

function checkFiles(paths: KeyPair, files: Files, now: number): { faults: KeyPairFault[]; doubt?: string } {
  const [cert, key] = [read('cert', paths.cert, files), read('key', paths.key, files)]
  if (cert.fault || key.fault) return { faults: [cert.fault ?? [], key.fault ?? []].flat() }

  const faults = keyPairFaults({ cert: cert.text, key: key.text })
  const doubt = faults.length > 0 ? undefined : validityDoubt(cert.text, now)
  return { faults, ...(doubt !== undefined && { doubt }) }
}

function read(file: keyof KeyPair, path: string, files: Files): { text: string; fault?: KeyPairFault } {
  try {
    return { text: files.readText(path) }
  } catch (error) {
    return { text: '', fault: { file, message: readingFault(error) } }
  }
}
