import { readFileSync, statSync } from 'node:fs'

/** The file system as the configuration uses it. */
export interface Files {
  /** @throws when it can't be read */
  readText(path: string): string
  isDirectory(path: string): boolean
}

export const systemFiles: Files = {
  readText: (path) => readFileSync(path, 'utf8'),
  isDirectory(path) {
    try {
      return statSync(path).isDirectory()
    } catch {
      // Missing, not accessible, or not a path.
      return false
    }
  },
}

/** Replaces the text of a file that can't be read. The message gives the reason, to be placed after an option's name. */
export class Unreadable extends Error {}

export function readOr(path: string, files: Files): string | Unreadable {
  try {
    return files.readText(path)
  } catch (error) {
    return new Unreadable(readingFault(error))
  }
}

/** Node's own message would repeat the path. */
export function readingFault(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'names a file that does not exist'
    case 'EACCES':
    case 'EPERM':
      return 'names a file that this process may not read'
    case 'EISDIR':
      return 'names a folder, not a file'
    default:
      return 'names a file that can not be read'
  }
}
