import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Page } from 'playwright-core'
import type { Demo } from '../../demo/demo.ts'
import { startDemo } from '../support/demo.ts'
import { useChromium } from './chromium.ts'

let demo: Demo
before(async () => {
  demo = await startDemo()
})
after(() => demo.close())
const openPage = useChromium()

async function signIn(page: Page): Promise<void> {
  await page.goto(demo.url)
  await page.getByRole('link', { name: 'Login' }).click()
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Alice Example', { exact: true }).waitFor()
}

test('the sample page shows the sessions in two browsers, and ends the other one, which notices', async (t) => {
  const { page: own, faults } = await openPage(t)
  const { page: phone } = await openPage(t, {
    userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) Safari/604.1',
  })
  await own.goto(demo.url)
  await own.getByText('Log in to see them').waitFor()
  await signIn(own)
  await own.getByText('Only in this browser').waitFor()
  assert.equal(await own.getByRole('button', { name: 'End all others' }).isVisible(), false)
  await signIn(phone)
  await phone.getByText('In 2 browsers').waitFor()

  await own.getByRole('button', { name: 'Refresh' }).click()
  const other = own.getByRole('listitem').filter({ hasText: 'Safari on iPhone' })
  await other.getByText('127.0.0.1').waitFor()
  await own.getByText('(this browser)').waitFor()
  await other.getByRole('button', { name: 'End' }).click()
  await phone.getByText('Your session has ended').waitFor()
  await phone.getByText('Log in to see them').waitFor()
  await own.getByText('Only in this browser').waitFor()

  // Still signed in at the issuer, which asks for no password.
  await phone.getByRole('link', { name: 'Login' }).click()
  await phone.getByText('In 2 browsers').waitFor()
  await own.getByRole('button', { name: 'Refresh' }).click()
  await own.getByRole('button', { name: 'End all others' }).click()
  await phone.getByText('Your session has ended').waitFor()
  await own.getByText('Only in this browser').waitFor()
  assert.deepEqual(faults, [])
})
