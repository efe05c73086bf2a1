import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { cacheControl, hasHashedName } from '../../../plugins/frontend/cache-control.ts'

const hashed = {
  Vite: [
    'assets/index-BX3k9a1Z.js',
    'assets/index-D2iwrgTa.css',
    'base/assets/index-C0lKq_Xt.js',
    'assets/index-B_x-9a1Z.js',
    'assets/react-CHdo91hT.svg',
    'assets/index--Q7wZa1k.js.map',
    'assets/inter-latin-400-normal-C38fXH4l.woff2',
  ],
  webpack: [
    'main.4f2a8c1e.css',
    'main.4f2a8c1e.chunk.js',
    'main.a4f2c81e.js.LICENSE.txt',
    'static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg',
    '4f2a8c1e5d6b7a80c9d1.js',
    'manifest.4f2a8c1e.webmanifest',
    'workbox-4f2a8c1e.js',
    'runtime~main.0a1b2c3d4e5f.js',
  ],
  Angular: [
    'main-5KQF3V2H.js',
    'chunk-ABCDEFGH.js',
    'styles-KYXZBUVW.css',
    'polyfills.4f2a8c1e5d6b7a80.js',
    'media/roboto-KYXZB323.woff2',
  ],
  Next: ['_next/static/chunks/123-4f2a8c1e5d6b7a80.js', '_next/static/css/1d3c8f5e0b7a9264.css'],
  'Parcel and SvelteKit': [
    'index.4f2a8c1e.js',
    '_app/immutable/chunks/BX3k9a1Z.js',
    '_app/immutable/entry/start.BX3k9a1Z.js',
  ],
}
for (const [bundler, paths] of Object.entries(hashed)) {
  test(`file names of ${bundler} count as hashed`, () => {
    for (const path of paths) assert.ok(hasHashedName(path), path)
  })
}

const ordinary = [
  'app-settings.js',
  'assets/user-settings.js',
  'assets/vue-DatePick.js',
  'assets/font-Roboto2x.woff',
  'assets/banner-1200x600.png',
  'assets/lib-es2015en.js',
  'assets/index-DiwrgTda.css',
  'jquery-ui-dialog.js',
  'jquery-3.7.1.min.js',
  'bootstrap.bundle.min.css',
  'lodash.4.17.21.js',
  'favicon.ico',
  'robots.txt',
  'manifest.webmanifest',
  'apple-touch-icon-180x180.png',
  'banner-1200x600.png',
  'logo-retina2x.png',
  'logo-RETINA2X.png',
  'font-Roboto2x.woff',
  'icon-facebook.svg',
  'report-20240131.pdf',
  'build-20240131a.js',
  'photo-2024-01-31.jpg',
  'polyfills-es2015.js',
  'lib-es2015en.js',
  'vue-DatePick.js',
  'vue-Settings.js',
  'x-AppMatch.js',
  'x-HTMLview.js',
  'x-userUUID.js',
  'x-Base64Js.js',
  'page-facade12.js',
  'page.effaced.js',
  'about-LICENSES.txt',
  'worker.js',
  'deadbeef/app.js',
  'v4f2a8c1e/app.js',
  'no-extension-4f2a8c1e',
  '.4f2a8c1e',
]
test('names without a hash do not', () => {
  for (const path of ordinary) assert.ok(!hasHashedName(path), path)
})

test('most hashes are recognised, in each notation', () => {
  const digests = Array.from({ length: 2000 }, (_, n) => createHash('sha256').update(String(n)).digest())
  const share = (nameOf: (digest: Buffer) => string) =>
    digests.filter((digest) => hasHashedName(nameOf(digest))).length / digests.length
  const base64url = share((digest) => `assets/index-${digest.toString('base64url').slice(0, 8)}.js`)
  assert.ok(base64url > 0.75, String(base64url))
  const hexadecimal = (length: number) =>
    share((digest) => `main.${digest.toString('hex').slice(0, length)}.js`)
  assert.ok(hexadecimal(8) > 0.9, String(hexadecimal(8)))
  assert.ok(hexadecimal(20) > 0.99, String(hexadecimal(20)))
})

test('hashed files are cached for a year, and so are their compressed copies', () => {
  for (const path of ['assets/index-BX3k9a1Z.js', 'assets/index-BX3k9a1Z.js.br', 'main.4f2a8c1e.css.gz']) {
    assert.equal(cacheControl(path, false), 'public, max-age=31536000, immutable')
    assert.equal(cacheControl(path, true), 'private, max-age=31536000, immutable')
  }
})

test('pages and files without a hash are revalidated each time', () => {
  for (const path of ['index.html', 'index.html.br', 'page-4f2a8c1e.html', 'a.4f2a8c1e.htm', 'logo.svg']) {
    assert.equal(cacheControl(path, false), 'no-cache')
    assert.equal(cacheControl(path, true), 'private, no-cache')
  }
})
