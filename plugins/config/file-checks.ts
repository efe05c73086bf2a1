import { join } from 'node:path'
import { type Files, readingFault } from './files.ts'
import { checkPrivateKey } from './private-key.ts'
import type { ReadSettings } from './read-settings.ts'

/** Looks at the files and folders that variables name. */
export function checkFiles(
  { values, label }: ReadSettings,
  files: Files,
): { faults: string[]; warnings: string[] } {
  const faults: string[] = []
  const warnings: string[] = []
  const { OIDC_CLIENT_PRIVATE_KEY_FILE: keyFile, STATIC_DIR: staticDir } = values

  const keyFault = keyFile && privateKeyFault(keyFile, files)
  if (keyFault) faults.push(`${label('OIDC_CLIENT_PRIVATE_KEY_FILE')} ${keyFault} (it is ${keyFile})`)

  if (staticDir && !files.isDirectory(staticDir)) {
    faults.push(`${label('STATIC_DIR')} must be a folder that exists (it is ${staticDir})`)
  } else if (staticDir && !isReadable(join(staticDir, 'index.html'), files)) {
    warnings.push(`${label('STATIC_DIR')} has no index.html: ${staticDir}`)
  }
  return { faults, warnings }
}

function privateKeyFault(path: string, files: Files): string | undefined {
  let text: string
  try {
    text = files.readText(path)
  } catch (error) {
    return readingFault(error)
  }
  try {
    checkPrivateKey(text)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

function isReadable(path: string, files: Files): boolean {
  try {
    files.readText(path)
    return true
  } catch {
    return false
  }
}
