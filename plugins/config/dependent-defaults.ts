import { randomBytes } from 'node:crypto'
import { makeKey } from './parsers.ts'
import type { ReadSettings } from './read-settings.ts'
import type { SettingName, Values } from './settings.ts'

export interface DependentDefaults {
  values: Partial<Values>
  faults: string[]
  warnings: string[]
}

/** What a variable means that nobody set, where that depends on others or on being in production. */
export function dependentDefaults({ values, isSet }: ReadSettings, production: boolean): DependentDefaults {
  const defaults: Partial<Values> = {}
  const faults: string[] = []
  const warnings: string[] = []
  const isMissing = (name: SettingName) => !isSet(name)

  if (isMissing('PUBLIC_URL') && production) {
    faults.push(
      'PUBLIC_URL is missing: set it to the URL at which browsers reach the gateway, such as https://app.example.com',
    )
  } else if (isMissing('PUBLIC_URL') && values.PORT !== undefined) {
    const scheme = values.TLS_CERT_FILE === undefined ? 'http' : 'https'
    defaults.PUBLIC_URL = new URL(`${scheme}://localhost:${values.PORT}`)
    if (values.PORT === 0) {
      warnings.push(
        'PUBLIC_URL is not set and PORT is 0: signing in needs a PUBLIC_URL that leads to the gateway',
      )
    }
  }
  if (isMissing('SESSION_KEYS') && production) {
    faults.push(`SESSION_KEYS is missing: ${makeKey}`)
  } else if (isMissing('SESSION_KEYS')) {
    defaults.SESSION_KEYS = [randomBytes(32)]
    warnings.push(`SESSION_KEYS is not set: sessions end with this process, whose key is random (${makeKey})`)
  }
  // Who sets a short lifetime alone means no session to outlive it.
  const { SESSION_IDLE_TIMEOUT: idle, SESSION_LIFETIME: lifetime } = values
  if (isMissing('SESSION_IDLE_TIMEOUT') && idle && lifetime) {
    defaults.SESSION_IDLE_TIMEOUT = Math.min(idle, lifetime)
  }
  const publicUrl = values.PUBLIC_URL ?? defaults.PUBLIC_URL
  if (isMissing('COOKIE_NAME')) defaults.COOKIE_NAME = publicUrl?.protocol === 'https:' ? '__Host-bff' : 'bff'
  return { values: { ...values, ...defaults }, faults, warnings }
}
