import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The first executable file of one of these names, looked for name by name. @param searchPath as the variable PATH */
export function findExecutable(names: string[], searchPath = process.env['PATH'] ?? ''): string | undefined {
  const folders = searchPath.split(delimiter)
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable)
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
