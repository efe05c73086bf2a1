import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freePort } from '../support/free-port.ts'
import { newKey } from '../support/inject-gateway.ts'
import { startApplication } from './support.ts'

test("the plugin has the administrator's API, too", async (t) => {
  const [adminPort, adminToken] = [await freePort(), newKey()]
  const { newBrowser } = await startApplication(t, { bff: { adminPort, adminToken } })
  const browser = newBrowser()
  await browser.signIn()
  const url = `http://127.0.0.1:${adminPort}/sessions?sub=alice`
  const headers = { authorization: `Bearer ${adminToken}` }
  const ended = await fetch(url, { method: 'DELETE', headers })
  assert.deepEqual(await ended.json(), { ended: 1 })
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
})
