import type { SettingName } from './settings.ts'

/** What the process decides that has the server, and nobody else. */
export const serverSettings: readonly SettingName[] = [
  'HOST',
  'PORT',
  'TLS_CERT_FILE',
  'TLS_KEY_FILE',
  'TRUST_PROXY',
  'LOG_LEVEL',
  'KEEP_ALIVE_TIMEOUT',
  'CONFIG_FILE',
  'SHUTDOWN_DELAY',
  'SHUTDOWN_TIMEOUT',
]
