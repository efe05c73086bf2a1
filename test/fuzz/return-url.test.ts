import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { openRedirects } from '../support/corpus.ts'
import { locationOf } from '../support/inject-browser.ts'
import { type InjectGateway, startInjectGateway } from '../support/inject-gateway.ts'
import { assertInjectRefused, inputs, mutationsOf, report } from './support.ts'

const piece = fc.constantFrom(
  ...['/', '//', '\\', '.', '..', ';', '@', ':', '?', '#', '%', ' ', '\t', '\n', '\r', '\0', '\x7f', '\x85'],
  ...['%2f', '%5c', '%2e', '%09', '%0a', '%00', '%25', '%252f', '%E3%80%82', 'a', 'evil.example', 'https:'],
  ...[
    'javascript:',
    'localhost:3000',
    'app.example.com',
    '\u3002',
    '\uff0f',
    '\u2028',
    '\ufeff',
    '\ud800',
    '[::1]',
  ],
)
const hostile = fc.constantFrom(...openRedirects())
const returnUrl = fc.oneof(
  fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
  fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join('')}`),
  hostile.chain((text) => mutationsOf(text, piece)),
  hostile.map((text) => `/start/../${text}`),
  fc.array(piece, { maxLength: 8 }).map((pieces) => `https://spa.app.example.com${pieces.join('')}`),
  hostile.map((text) => `https://spa.app.example.com${text}`),
  fc.string({ unit: 'binary' }),
  fc.webPath(),
)
/** In the query: properly encoded, minimally encoded, or with encoded parameter name. */
const query = fc.oneof(
  returnUrl.map((text) => `returnUrl=${encodeURIComponent(text.toWellFormed())}`),
  returnUrl.map((text) => `returnUrl=${bare(text)}`),
  fc.tuple(returnUrl, returnUrl).map(([one, two]) => `returnUrl=${bare(one)}&returnUrl=${bare(two)}`),
  returnUrl.map((text) => `returnUrl[]=${bare(text)}&return%55rl=${bare(text)}`),
)

const publicUrls = ['http://localhost:3000', 'https://app.example.com', 'https://app.example.com/base']
/** An origin where logins and logouts may end too. The pieces above spell what is near it. */
const otherOrigin = 'https://spa.app.example.com'

for (const publicUrl of publicUrls) {
  test(`a login at ${publicUrl} ends on its own origin or a listed one, with any return URL`, async (t) => {
    const { app, issuer, path } = await start(t, publicUrl)
    let [tried, accepted] = [0, 0]

    await fc.assert(
      fc.asyncProperty(query, async (wanted) => {
        tried++
        const begun = await app.inject({ url: path(`/bff/login?prompt=none&${wanted}`) })
        if (begun.statusCode !== 302) {
          assert.equal(assertInjectRefused(begun), 'BFF_INVALID_RETURN_URL')
          return
        }
        accepted++
        const state = new URL(locationOf(begun)).searchParams.get('state') ?? ''
        const [transaction] = begun.cookies
        // The issuer shows no form, so the login finishes at once.
        const answer = new URLSearchParams({ error: 'login_required', state, iss: issuer.issuer })
        const ended = await app.inject({
          url: path(`/bff/callback?${answer}`),
          headers: { cookie: `${transaction?.name}=${encodeURIComponent(transaction?.value ?? '')}` },
        })
        assert.equal(ended.statusCode, 302, ended.body)
        assertOwn(locationOf(ended), publicUrl)
      }),
      inputs(800),
    )
    assert.ok(accepted > 0)
    report(t, { 'return URLs': tried, accepted })
  })

  test(`a logout at ${publicUrl} ends on its own origin or a listed one, with and without a session`, async (t) => {
    const { app, path, sessionCookie } = await start(t, publicUrl)
    let [tried, accepted] = [0, 0]

    await fc.assert(
      fc.asyncProperty(query, fc.boolean(), async (wanted, hasSession) => {
        tried++
        const headers = {
          'sec-fetch-site': 'same-origin',
          ...(hasSession && { cookie: await sessionCookie() }),
        }
        const response = await app.inject({ url: path(`/bff/logout?${wanted}`), headers })
        if (response.statusCode !== 302) {
          assert.equal(assertInjectRefused(response), 'BFF_INVALID_RETURN_URL')
          return
        }
        accepted++
        if (!hasSession) return assertOwn(locationOf(response), publicUrl)
        const state = new URL(locationOf(response)).searchParams.get('state') ?? ''
        const [kept] = response.cookies.filter(({ name }) => name.endsWith('-logout'))
        const ended = await app.inject({
          url: path(`/bff/logout-callback?${new URLSearchParams({ state })}`),
          headers: { cookie: `${kept?.name}=${encodeURIComponent(kept?.value ?? '')}` },
        })
        assert.equal(ended.statusCode, 302, ended.body)
        assertOwn(locationOf(ended), publicUrl)
      }),
      inputs(800),
    )
    assert.ok(accepted > 0)
    report(t, { 'return URLs': tried, accepted })
  })
}

/** As a browser resolves it, and as a server that unescapes it first. */
function assertOwn(location: string, publicUrl: string): void {
  const origin = location.startsWith(`${otherOrigin}/`) ? otherOrigin : new URL(publicUrl).origin
  const resolved = new URL(location, publicUrl)
  assert.equal(resolved.origin, origin, location)
  assert.match(location, /^[\x21-\x7e]+$/)
  assert.equal(new URL(unescaped(resolved.pathname), origin).origin, origin, location)
}

function unescaped(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** With only the escapes that a request line needs. */
function bare(text: string): string {
  return encodeURI(text.toWellFormed()).replaceAll('%25', '%').replaceAll('#', '%23').replaceAll('&', '%26')
}

async function start(t: TestContext, publicUrl: string) {
  const gateway = await startInjectGateway(t, {
    env: { PUBLIC_URL: publicUrl, CORS_ORIGINS: otherOrigin, LOG_LEVEL: 'info' },
  })
  // Fetches the issuer's metadata, which a logout needs.
  await gateway.newBrowser().beginLogin()
  return { ...gateway, sessionCookie: () => sessionCookie(gateway) }
}

/** The cookie of a session made without a login. */
async function sessionCookie({ app, issuer, publicUrl }: InjectGateway): Promise<string> {
  const { reference } = await app.sessions.create({
    issuer: issuer.issuer,
    subject: 'alice',
    sid: 'sid',
    claims: { sub: 'alice' },
    tokenSet: { accessToken: 'opaque', tokenType: 'bearer', obtainedAt: Date.now() },
  })
  const sealed = app.encodeSecureSession(app.createSecureSession({ ...reference }), 'sealedSession')
  const name = publicUrl.protocol === 'https:' ? '__Host-bff' : 'bff'
  return `${name}=${encodeURIComponent(sealed)}`
}
