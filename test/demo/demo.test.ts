import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { check } from '../../demo/check.ts'
import { DemoPortError } from '../../demo/demo.ts'
import { listen, stop } from '../../demo/listen.ts'
import { startDemo } from '../support/demo.ts'

const anyPorts = { issuer: 0, timeApi: 0, gateway: 0 }

test('the demo works, and its check passes', async (t) => {
  const demo = await startDemo({ accessTokenLifetime: 8 })
  t.after(() => demo.close())
  const lines: string[] = []

  const passed = await check(demo, {
    print: (line) => lines.push(line),
    callEveryMs: 100,
    deadlineMs: 60_000,
  })

  assert.ok(passed, lines.join('\n'))
  assert.deepEqual(demo.warnings, [])
})

test('a failing check names the step', async (t) => {
  const demo = await startDemo()
  t.after(() => demo.close())
  await demo.issuer.close()
  const lines: string[] = []

  const passed = await check(demo, { print: (line) => lines.push(line) })

  assert.equal(passed, false)
  assert.match(lines.at(-1) ?? '', /^FAIL .* alice signs in/)
})

test('the check ends in bounded time', async (t) => {
  const demo = await startDemo()
  t.after(() => demo.close())
  const lines: string[] = []

  const passed = await check(demo, {
    print: (line) => lines.push(line),
    renewals: 99,
    deadlineMs: 1500,
    callEveryMs: 100,
  })

  assert.equal(passed, false)
  assert.match(lines.at(-1) ?? '', /Not done after 1.5 s/)
})

test('a port in use is named, with the variable that changes it, and nothing is left running', async (t) => {
  const server = createServer()
  const port = await listen(server, 0)
  t.after(() => stop(server))

  const variables = { issuer: 'DEMO_IDP_PORT', timeApi: 'DEMO_API_PORT', gateway: 'PORT' }
  for (const [service, variable] of Object.entries(variables)) {
    await assert.rejects(startDemo({ ports: { ...anyPorts, [service]: port } }), (error) => {
      assert.ok(error instanceof DemoPortError)
      assert.match(
        error.message,
        new RegExp(
          `^Port ${port}, .* in use\\.\nChoose another one: {2}${variable}=${port + 1} npm run demo$`,
        ),
      )
      return true
    })
  }
})

test('all ports in use are named at once', async (t) => {
  const servers = [createServer(), createServer()]
  const [issuer = 0, gateway = 0] = await Promise.all(servers.map((server) => listen(server, 0)))
  for (const server of servers) t.after(() => stop(server))

  await assert.rejects(startDemo({ ports: { issuer, timeApi: 0, gateway } }), {
    message: [
      `Port ${issuer}, for the identity provider, is in use.`,
      `Port ${gateway}, for the gateway, is in use.`,
      `Choose others:  DEMO_IDP_PORT=${issuer + 1} PORT=${gateway + 1} npm run demo`,
    ].join('\n'),
  })
})
