import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { hashSource } from '../../../http/html.ts'
import { inlineCode } from '../../../plugins/frontend/inline-code.ts'

function assertCode(page: string, scripts: string[], handlers: string[] = []): void {
  assert.deepEqual(inlineCode(page), { scripts: scripts.map(hashSource), handlers: handlers.map(hashSource) })
}

test('inline scripts are hashed byte for byte, as the browser sees them', () => {
  assertCode('<script>run()</script>', ['run()'])
  assertCode('<SCRIPT>\n run( "ü" ) \n</SCRIPT >', ['\n run( "ü" ) \n'])
  assertCode('<script>a\r\nb\rc</script>', ['a\nb\nc'])
  assertCode('<script>"<!--<script>a</script>"-->"</script>', ['"<!--<script>a</script>"-->"'])
  assertCode('<script>one</script><script>two</script><script>one</script>', ['one', 'two'])
  assertCode('<script></script>', [''])
  assertCode('<body><svg><script>draw()</script></svg>', ['draw()'])
  assertCode('<template><script>later()</script></template>', ['later()'])
})

test('scripts with a source, data blocks, and what only looks like a script have no hash', () => {
  assertCode('<script src="app.js">ignored()</script>', [])
  for (const type of ['application/json', 'application/ld+json', 'text/template', 'text/x-handlebars'])
    assertCode(`<script type="${type}">data</script>`, [])
  for (const type of [
    '',
    'module',
    'Module',
    'text/javascript',
    'application/ecmascript',
    'importmap',
    'speculationrules',
  ])
    assertCode(`<script type="${type}">code</script>`, ['code'])
  assertCode(
    '<!-- <script>a</script> --><textarea><script>b</script></textarea><p title="<script>c</script>">',
    [],
  )
})

test('event handlers are hashed with their entities decoded', () => {
  assertCode(`<link rel="stylesheet" media="print" onload="this.media='all'">`, [], ["this.media='all'"])
  assertCode(
    '<body ONLOAD="a(&quot;x&quot; &amp;&amp; 1)"><p onclick=b() data-onclick="no">',
    [],
    ['a("x" && 1)', 'b()'],
  )
})

test("the frameworks' pages have the inline code that they need", () => {
  const folder = new URL('../../data/pages/', import.meta.url)
  const found = readdirSync(folder).map((name) => {
    const { scripts, handlers } = inlineCode(readFileSync(new URL(name, folder), 'utf8'))
    return [name, scripts.length, handlers.length]
  })
  assert.deepEqual(found.sort(), [
    ['angular-17.html', 0, 1],
    ['angular-22.html', 1, 0],
    ['vite-react.html', 0, 0],
    ['vite-svelte.html', 0, 0],
    ['vite-vue.html', 0, 0],
  ])
})
