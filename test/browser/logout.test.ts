import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { freePort } from '../support/free-port.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { useChromium } from './chromium.ts'

const openPage = useChromium()

for (const [how, many] of [
  ['a redirect', 0],
  ['a form that submits itself', 20_000],
] as const) {
  test(`a logout ends the session at the issuer, and comes back, by ${how}`, async (t) => {
    const issuer = await startIssuer()
    t.after(() => issuer.close())
    const sent: string[] = []
    // oidc-provider takes this form only with cookies that browsers accept on https, so it gets it as a query.
    issuer.provider.use(async (ctx, next) => {
      if (ctx.path === '/session/end') sent.push(ctx.method)
      if (ctx.path === '/session/end' && ctx.method === 'POST') {
        ctx.querystring = await text(ctx.req)
        ctx.method = 'GET'
      }
      await next()
    })
    const port = await freePort()
    const url = `http://localhost:${port}`
    const { app } = await startInjectGateway(t, { issuer, env: { PUBLIC_URL: url } })
    // As an ID token with many claims does. The issuer ignores parameters that it doesn't know.
    const { endSessionUrl } = app.issuer
    app.issuer.endSessionUrl = (request) => {
      const toIssuer = endSessionUrl(request)
      toIssuer?.searchParams.set('many_claims', '"&<'.repeat(many / 3))
      return toIssuer
    }
    await app.listen({ port, host: '127.0.0.1' })
    const { page, faults } = await openPage(t)
    await page.goto(`${url}/bff/login?returnUrl=/healthz`)
    await page.getByLabel('Name').fill('alice')
    await page.getByLabel('Password').fill('alice')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${url}/healthz`)

    await page.goto(`${url}/bff/logout?returnUrl=/healthz%3Fout%23end`)

    await page.waitForURL(`${url}/healthz?out#end`)
    assert.deepEqual(sent, [many > 0 ? 'POST' : 'GET'])
    const own = ['bff', 'bff-logout']
    assert.deepEqual(
      (await page.context().cookies(url)).filter(({ name }) => own.includes(name)),
      [],
    )
    await page.goto(`${url}/bff/login`)
    await page.getByLabel('Password').waitFor()
    assert.deepEqual(
      faults.filter((fault) => !fault.includes('404')),
      [],
    )
  })
}
