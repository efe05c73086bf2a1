import { type Files, readingFault } from './files.ts'

/**
 * A secret as Kubernetes, Docker and editors write it to a file: without the line break at its end.
 *
 * @throws TypeError as a Parser does. It doesn't repeat the path, in whose place somebody may have put the secret.
 */
export function secretFromFile(path: string, files: Files): string {
  let text: string
  try {
    text = files.readText(path)
  } catch (error) {
    throw new TypeError(readingFault(error))
  }
  const secret = text.replace(/^\uFEFF/, '').replace(/[\r\n]+$/, '')
  if (secret.trim() === '') throw new TypeError('names a file that is empty')
  return secret
}
