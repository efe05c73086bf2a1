import { X509Certificate } from 'node:crypto'
import { parseRedisUrl } from '../session-store/redis-url.ts'
import { type Files, readingFault } from './files.ts'
import type { ReadSettings } from './read-settings.ts'
import { type Checked, checkKeyPair } from './tls-files.ts'
import { certificates } from './upstream-tls.ts'

const tlsFiles = ['REDIS_CA_FILE', 'REDIS_CERT_FILE', 'REDIS_KEY_FILE'] as const

/** Looks at what says how to be let in by Redis: the files, and whether they fit the URL. @param now milliseconds */
export function checkRedisFiles(settings: ReadSettings, files: Files, now: number): Checked {
  const { values, label } = settings
  const why = 'a client certificate needs its key'
  const { faults, warnings } = checkKeyPair(
    { cert: 'REDIS_CERT_FILE', key: 'REDIS_KEY_FILE' },
    why,
    settings,
    files,
    now,
  )
  const ca = values.REDIS_CA_FILE
  const caFault = ca && certificatesFault(ca, files)
  if (caFault) faults.push(`${label('REDIS_CA_FILE')} ${caFault} (it is ${ca})`)

  if (values.REDIS_URL === undefined) {
    // A URL that is wrong has a fault of its own.
    const useless = settings.isSet('REDIS_URL') ? [] : tlsFiles.filter((name) => settings.isSet(name))
    warnings.push(...useless.map((name) => `${label(name)} does nothing without REDIS_URL`))
    return { faults, warnings }
  }

  const { tls, kind } = parseRedisUrl(values.REDIS_URL)
  for (const name of tls ? [] : tlsFiles.filter((each) => settings.isSet(each))) {
    faults.push(
      `${label(name)} is set, but ${label('REDIS_URL')} is not over TLS: begin it with rediss://, sentinels:// or clusters://, or remove the file`,
    )
  }
  if (kind !== 'sentinel' && settings.isSet('REDIS_SENTINEL_PASSWORD'))
    warnings.push(
      `${label('REDIS_SENTINEL_PASSWORD')} does nothing: ${label('REDIS_URL')} names no Sentinels`,
    )
  return { faults, warnings }
}

function certificatesFault(path: string, files: Files): string | undefined {
  let text: string
  try {
    text = files.readText(path)
  } catch (error) {
    return readingFault(error)
  }
  try {
    const found = certificates(text)
    for (const certificate of found) new X509Certificate(certificate)
    if (found.length > 0) return undefined
  } catch {
    // Node's message says no more than that it is no certificate.
  }
  return 'names a file without certificates: it must be PEM (-----BEGIN CERTIFICATE-----)'
}
