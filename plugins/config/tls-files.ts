import { type Files, readingFault } from './files.ts'
import { type KeyPair, type KeyPairFault, keyPairFaults, validityDoubt } from './key-pair.ts'
import type { ReadSettings } from './read-settings.ts'

const variables = { cert: 'TLS_CERT_FILE', key: 'TLS_KEY_FILE' } as const

/** Looks at the certificate and the key that the gateway's own TLS is to use. @param now milliseconds */
export function checkTlsFiles(
  { values, isSet, label }: ReadSettings,
  files: Files,
  now: number,
): { faults: string[]; warnings: string[] } {
  const { TLS_CERT_FILE: cert, TLS_KEY_FILE: key } = values
  if (isSet('TLS_CERT_FILE') !== isSet('TLS_KEY_FILE')) {
    const [set, missing] = isSet('TLS_CERT_FILE') ? (['cert', 'key'] as const) : (['key', 'cert'] as const)
    const fault = `${label(variables[set])} is set without ${variables[missing]}: TLS needs both, and plain HTTP neither`
    return { faults: [fault], warnings: [] }
  }
  if (cert === undefined || key === undefined) return { faults: [], warnings: [] }

  const { faults, doubt } = checkFiles({ cert, key }, files, now)
  return {
    faults: faults.map(
      ({ file, message }) => `${label(variables[file])} ${message} (it is ${values[variables[file]]})`,
    ),
    warnings: doubt ? [`The certificate of ${label('TLS_CERT_FILE')} ${doubt}: renew it`] : [],
  }
}

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
