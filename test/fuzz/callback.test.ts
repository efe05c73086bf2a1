import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { exchange, type Gateway, startGateway } from '../proxy/support.ts'
import { assertRefused, inputs, mutationsOf, parseAnswer, report } from './support.ts'

type Name = 'code' | 'state' | 'iss'
/** A login up to its callback. */
type Login = Record<Name, string> & { cookie: string }
/** A query parameter: name and value, both as sent. */
type Pair = [name: string, value: string]
/** The attacked login, one of another tab, and one of another browser. */
type Whose = 'own' | 'tab' | 'foreign'
type Known = Record<Whose, Login>
type Edit = (pairs: Pair[], known: Known) => Pair[]

const piece = fc.constantFrom(
  ...['&', '=', '+', '%', '%00', '%zz', '%20', '%26', '%3D', '%23', '?', '#', ';', ',', '[]', '/', '\\', '"'],
  ...[
    'A',
    'a',
    '0',
    '-',
    '_',
    '.',
    '\xe9',
    '%c3',
    '%f0%9f',
    '__proto__',
    'code=',
    'state=',
    'iss=',
    'error=',
  ],
)
const name = fc.constantFrom<Name>('code', 'state', 'iss')
const at = fc.nat(5)
/** Percent-encodes every character that isn't encoded yet. */
const percentEncoded = (text: string) =>
  text.replaceAll(/%..|[\0-\xff]/g, (it) =>
    it.length > 1 ? it : `%${it.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
const onValue = (which: Name, change: (value: string, known: Known) => string): Edit => {
  return (pairs, known) => pairs.map(([key, value]) => [key, key === which ? change(value, known) : value])
}
/** Values that are not this login's. */
const foreignValue = fc.oneof(
  fc.constantFrom('', ' ', '0', 'null', '__proto__', '%00', '%', '%zz', 'https://evil.example', '\xff'),
  fc.string({ unit: 'grapheme-ascii', maxLength: 60 }).map(encodeURIComponent),
  // Two lengths, with none between for which the limit of the request line would depend on the rest.
  fc.oneof(fc.integer({ min: 1000, max: 4000 }), fc.constant(17_000)).map((length) => 'x'.repeat(length)),
)
/** Each is harmless or a known fault; `judged` derives which from the query. */
const further = fc.oneof(
  fc.constantFrom<Pair>(
    ...([
      ['error', 'access_denied'],
      ['error', 'login_required'],
      ['error', ''],
      ['error_description', 'x'],
      ['response', 'a.b.c'],
      ['id_token', 'a.b.c'],
      ['token', 'x'],
      ['access_token', 'x'],
      ['session_state', 'a.b'],
      ['scope', 'openid'],
      ['returnUrl', '//evil.example'],
      ['redirect_uri', 'https://evil.example'],
      ['__proto__', 'x'],
      ['__proto__[state]', 'x'],
      ['constructor', 'x'],
      ['', ''],
    ] satisfies Pair[]),
  ),
  fc
    .tuple(fc.webFragments(), fc.webFragments())
    .map(([key, value]): Pair => [encodeURIComponent(key), value]),
)
const edit: fc.Arbitrary<Edit> = fc.oneof(
  name.map(
    (which): Edit =>
      (pairs) =>
        pairs.filter(([key]) => key !== which),
  ),
  name.map(
    (which): Edit =>
      (pairs) => [...pairs, ...pairs.filter(([key]) => key === which)],
  ),
  fc.tuple(name, foreignValue, fc.boolean()).map(([which, value, first]): Edit => {
    return (pairs) => (first ? [[which, value], ...pairs] : [...pairs, [which, value]])
  }),
  fc.tuple(name, foreignValue).map(([which, value]) => onValue(which, () => value)),
  fc.tuple(name, fc.constantFrom<Whose>('tab', 'foreign')).map(([which, whose]) => {
    return onValue(which, (_value, known) => encodeURIComponent(known[whose][which]))
  }),
  name.map((which) => onValue(which, percentEncoded)),
  name.map((which) => onValue(which, encodeURIComponent)),
  fc.tuple(name, fc.constantFrom('+', '%20', '%00', '/', '%2F', ' ', '.')).map(([which, end]) => {
    return onValue(which, (value) => value + end)
  }),
  fc
    .tuple(
      name,
      fc.constantFrom(
        percentEncoded,
        upper,
        (key: string) => `${key}[]`,
        (key: string) => ` ${key}`,
      ),
    )
    .map(([which, rename]): Edit => {
      return (pairs) => pairs.map(([key, value]) => [key === which ? rename(key) : key, value])
    }),
  {
    weight: 4,
    arbitrary: fc.tuple(further, at).map(
      ([pair, i]): Edit =>
        (pairs) =>
          pairs.toSpliced(i, 0, pair),
    ),
  },
  { weight: 2, arbitrary: fc.constant<Edit>((pairs) => pairs.toReversed()) },
)
/** Most differ from the right one in one small detail. */
const query = fc.oneof(
  fc.array(edit, { maxLength: 3 }).map((edits) => (known: Known) => written(edits, known)),
  fc.array(edit, { maxLength: 1 }).chain((edits) => {
    // A mutation needs its text, which is not known yet: it is recorded, and applied to each login.
    const seeds = mutationsOf('\0'.repeat(100), piece)
    return seeds.map((shape) => (known: Known) => reshaped(written(edits, known), shape))
  }),
)
const cookies = fc.constantFrom<Whose[]>(['own'], ['own'], ['own'], ['own', 'tab'], ['tab'], ['foreign'], [])
/** The first cookie again, under its own name with the content of another. */
const swapped = fc.constantFrom<Whose | undefined>(undefined, undefined, undefined, 'tab', 'foreign')
const method = fc.constantFrom('GET', 'GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT')

test('only the callback of a login begun here gives a session, for any mutated callback', async (t) => {
  const issuer = await startIssuer({ accessTokenLifetime: 3600 })
  t.after(() => issuer.close())
  const gateway = await startGateway(t, [{ target: 'http://127.0.0.1:9' }], { issuer })
  const [here, elsewhere] = [loginsAt(gateway, 'alice'), loginsAt(gateway, 'bob')]
  const known: Known = { own: await here(), tab: await here(), foreign: await elsewhere() }
  const grants = () => issuer.events.grants('authorization_code').length
  const figures = { callbacks: 0, 'signed in': 0, 'asked the issuer': 0 }

  await fc.assert(
    fc.asyncProperty(query, cookies, swapped, method, async (write, sent, swap, verb) => {
      const search = write(known).trimEnd()
      const before = grants()
      const answer = await send(gateway, verb, search, cookieHeader(known, sent, swap))
      const logins = verb === 'GET' ? sent.map((whose) => known[whose]) : []
      const { verdict, state } = judged(search, logins)

      figures.callbacks++
      const sessions = answer.setCookies.filter((cookie) => cookie.startsWith('bff='))
      if (verdict === 'true') {
        figures['signed in']++
        assert.equal(answer.status, 302, search)
        assert.equal(answer.location, '/start')
        assert.equal(sessions.length, 1)
      } else {
        if (verb === 'HEAD') assert.ok(answer.status >= 400 && answer.status < 500)
        else assertRefused(answer, search)
        assert.deepEqual(sessions, [], search)
      }
      const asks = verdict === 'true' || verdict === 'wrong code'
      assert.equal(grants() - before, asks ? 1 : 0, search)
      if (asks) figures['asked the issuer']++
      // A login is used up once its state was accepted, or its code seen by the issuer. Otherwise the next input uses it.
      for (const [whose, login] of Object.entries(known) as [Whose, Login][]) {
        const isOver = login.state === state || (asks && once(search, 'code') === login.code)
        if (isOver) known[whose] = await (whose === 'foreign' ? elsewhere() : here())
      }
    }),
    { ...inputs(800), endOnFailure: true },
  )
  assert.ok(figures['signed in'] > 0 && figures['asked the issuer'] > figures['signed in'])
  report(t, figures)

  const right = written([], known)
  assert.equal((await send(gateway, 'GET', right, known.own.cookie)).status, 302)
  assert.equal((await send(gateway, 'GET', right, known.own.cookie)).status, 400)
})

interface Judgement {
  verdict: 'true' | 'wrong code' | 'wrong' | 'unknown'
  /** The login that it uses up. */
  state?: string
}

/**
 * The expected verdict on a callback with the cookies of these logins:
 *
 * - `true`: state, code and issuer of one login, each once, and no parameter with another meaning
 * - `wrong code`: right except the code, which the issuer has to check
 * - `wrong`: the state of one login, with something wrong in the rest
 * - `unknown`: the state of no login
 */
function judged(search: string, logins: Login[]): Judgement {
  // Such a request line is refused.
  if (/[^\x21-\x7e]/.test(search) || search.length > 15_000) return { verdict: 'unknown' }
  const state = once(search, 'state')
  const login = logins.find((it) => it.state === state)
  if (!login || state === undefined) return { verdict: 'unknown' }
  const has = (key: string) => new URLSearchParams(search).has(key)
  const isWrong =
    once(search, 'iss') !== login.iss ||
    // Empty ones are ignored, unless they are repeated.
    ['error', 'response'].some((key) => has(key) && once(search, key) !== '') ||
    ['id_token', 'token'].some(has)
  const code = once(search, 'code')
  if (isWrong || !code) return { verdict: 'wrong', state }
  return { verdict: code === login.code ? 'true' : 'wrong code', state }
}

function once(search: string, key: string): string | undefined {
  const [value, ...more] = new URLSearchParams(search).getAll(key)
  return more.length === 0 ? value : undefined
}

/** Successive logins of one browser up to the callback. After the first the user is signed in at the issuer. */
function loginsAt(gateway: Gateway, user: string): () => Promise<Login> {
  const browser = createHttpBrowser()
  let isKnown = false
  return async () => {
    if (!isKnown) await browser.signIn(gateway.url, user)
    isKnown = true
    const begun = await browser.fetch(`${gateway.url}/bff/login?returnUrl=/start`)
    const [cookie = ''] = begun.headers.getSetCookie().map((it) => it.split(';', 1)[0] ?? '')
    browser.cookies.store(new URL(gateway.url), [`${cookie.split('=')[0]}=; Path=/; Max-Age=0`])
    let next = begun.headers.get('location') ?? ''
    while (!next.startsWith(gateway.url)) {
      const answer = await browser.fetch(next)
      next = new URL(answer.headers.get('location') ?? assert.fail(answer.body), next).href
    }
    const { code, state, iss } = Object.fromEntries(new URL(next).searchParams)
    assert.ok(code && state && iss, next)
    return { code, state, iss, cookie }
  }
}

async function send({ port }: Gateway, verb: string, search: string, cookie: string) {
  const headers = `Host: localhost\r\nConnection: close\r\nCookie: ${cookie}`
  const bytes = `${verb} /bff/callback?${search} HTTP/1.1\r\n${headers}\r\n\r\n`
  return parseAnswer(await exchange(port, bytes)) ?? assert.fail(`No answer to ${search}`)
}

function written(edits: Edit[], known: Known): string {
  const { code, state, iss } = known.own
  const right: Pair[] = [
    ['code', code],
    ['state', state],
    ['iss', encodeURIComponent(iss)],
  ]
  const pairs = edits.reduce((all, change) => change(all, known), right)
  return pairs.map(([key, value]) => `${key}=${value}`).join('&')
}

/** Applies to a text the mutation of a blank one: blanks left in `shape` stand for parts of the text. */
function reshaped(text: string, shape: string): string {
  const scale = text.length / 100
  let position = 0
  return [...shape]
    .map((it) => {
      if (it !== '\0') return it
      const part = text.slice(Math.floor(position * scale), Math.floor((position + 1) * scale))
      position++
      return part
    })
    .join('')
}

function cookieHeader(known: Known, sent: Whose[], swapped: Whose | undefined): string {
  const own = sent.map((whose) => known[whose].cookie)
  const swap = swapped && `${known.own.cookie.split('=')[0]}=${known[swapped].cookie.split('=')[1]}`
  // Last: of two cookies with one name the first counts.
  return [...own, ...(swap ? [swap] : [])].join('; ')
}

function upper(text: string): string {
  return text.toUpperCase()
}
