import { readFileSync, statSync } from 'node:fs'

/** What the configuration needs of the file system. */
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
      // Not there, not to be looked at, or no path at all.
      return false
    }
  },
}

/** Stands for the text of a file that can't be read; the message says why, in words that follow an option's name. */
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
