import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'

const folder = new URL('../../demo/page/', import.meta.url)

async function read(name: string): Promise<string> {
  return readFile(new URL(name, folder), 'utf8')
}

async function scripts(): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.js'))
}

test('the page has nothing inline that a strict content security policy would block', async () => {
  assert.doesNotMatch(await read('index.html'), /<script>|<style|\sstyle=|\son\w+=|javascript:|https?:/)
})

test('no script of the page uses text as markup or code', async () => {
  for (const name of await scripts()) {
    assert.doesNotMatch(
      await read(name),
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function/,
    )
  }
})

test('every element that a script looks for is on the page', async () => {
  const page = await read('index.html')
  for (const name of await scripts()) {
    for (const [, selector = ''] of (await read(name)).matchAll(/find\('([^']+)'\)/g)) {
      const attribute = selector.startsWith('#') ? `id="${selector.slice(1)}"` : selector.slice(1, -1)
      assert.ok(page.includes(attribute), `${name}: ${selector}`)
    }
  }
})
