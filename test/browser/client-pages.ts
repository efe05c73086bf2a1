import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before } from 'node:test'
import { build } from 'vite'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { codeBlocks } from '../docs/markdown.ts'
import type { Answer } from '../proxy/support.ts'

export const root = resolve(import.meta.dirname, '../..')

/** For the tests of one file: an issuer, and a folder with {@link writeClientPages}. */
export function useClientPages(): { folder: string; issuer: () => DemoIssuer } {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-pages-'))
  let issuer: DemoIssuer
  before(async () => {
    issuer = await startIssuer()
    await writeClientPages(folder)
  })
  after(async () => {
    rmSync(folder, { recursive: true })
    await issuer.close()
  })
  return { folder, issuer: () => issuer }
}

/** Writes pages with the client, the example of the README and the React example, and one without scripts. */
async function writeClientPages(folder: string): Promise<void> {
  const pages = [
    ['app', join(import.meta.dirname, 'client-page.js')],
    ['react', join(root, 'examples/react/src/main.tsx')],
    ['readme', join(folder, 'readme.source.js')],
  ] as const
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const snippet = codeBlocks(readme, 'js').find((code) => code.includes('fastify-bff/client'))
  writeFileSync(join(folder, 'readme.source.js'), `${snippet}\nObject.assign(window, { loadOrders, logOut })`)
  for (const [name, entry] of pages) {
    const page = `<!doctype html><link rel="icon" href="data:,"><main id="root"></main><script type="module" src="/${name}.js"></script>`
    writeFileSync(join(folder, `${name}.html`), page)
    writeFileSync(join(folder, `${name}.js`), await bundle(entry))
  }
  writeFileSync(join(folder, 'index.html'), '<!doctype html><link rel="icon" href="data:,">Start')
}

export async function bundle(entry: string): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'error',
    root,
    resolve: {
      alias: {
        'fastify-bff/client': join(root, 'client/index.ts'),
        'fastify-bff/react': join(root, 'client/react.ts'),
      },
    },
    define: { 'process.env.NODE_ENV': '"production"' },
    build: { write: false, minify: true, lib: { entry, formats: ['es'] } },
  })
  const [{ output } = assert.fail('no output')] = [result].flat() as { output: { code?: string }[] }[]
  return output[0]?.code ?? assert.fail('no code')
}

/** Refuses each token once, so that the gateway renews it. Without a token in `seen` the first is good, too. */
export function strictApi(): Answer {
  const seen = new Set<string | undefined>()
  return ({ headers: { authorization }, request, response }) => {
    request.resume()
    response.statusCode = seen.size > 0 && !seen.has(authorization) ? 200 : 401
    seen.add(authorization)
    response.end('fine')
  }
}
