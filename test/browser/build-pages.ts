import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const pages = new URL('../data/pages/', import.meta.url)

/** Pages as the build tools of frameworks write them. */
export const buildPages: string[] = readdirSync(pages)

/** One of them, with stubs of the files that it refers to. */
export function filesOf(name: string): Record<string, string> {
  const html = readFileSync(new URL(name, pages), 'utf8')
  return { 'index.html': html, ...stubs(html) }
}

export function writeFiles(folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

/** Stands for the files that a build's page refers to. */
function stubs(page: string): Record<string, string> {
  const paths = [...page.matchAll(/(?:src|href)="\/?([^"]+\.\w+)"/g)].map(([, path = '']) => path)
  return Object.fromEntries(
    paths.map((path) => [
      path,
      path.endsWith('.js')
        ? `document.body.append('the app runs')`
        : path.endsWith('.css')
          ? 'body { color: rgb(1, 2, 3) }'
          : '<svg xmlns="http://www.w3.org/2000/svg"/>',
    ]),
  )
}
