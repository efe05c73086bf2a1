import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stepUpUrl } from '../../../plugins/upstream/step-up.ts'

function urlFor(challenges: string | string[] | undefined) {
  return stepUpUrl(challenges, '/app/bff/login')
}

const insufficient = 'error="insufficient_user_authentication"'

const wanted: [challenges: string | string[], url: string][] = [
  [`Bearer ${insufficient}`, '/app/bff/login'],
  [
    `Bearer ${insufficient}, error_description="A different level", acr_values="myACR", max_age="5"`,
    '/app/bff/login?acr_values=myACR&max_age=5',
  ],
  [`DPoP algs="ES256 PS256", ${insufficient}, max_age=0`, '/app/bff/login?max_age=0'],
  ['bearer ERROR = insufficient_user_authentication,ACR_VALUES = gold', '/app/bff/login?acr_values=gold'],
  [
    `Bearer realm="a, b=\\"c\\"", ${insufficient}, acr_values="urn:x:gold urn:x:silver"`,
    '/app/bff/login?acr_values=urn%3Ax%3Agold%20urn%3Ax%3Asilver',
  ],
  [`Basic realm="x", Bearer ${insufficient}, max_age="60"`, '/app/bff/login?max_age=60'],
  [`Negotiate YII==, DPoP error="invalid_token", Bearer ${insufficient}`, '/app/bff/login'],
  [['Basic realm="x"', `Bearer ${insufficient}, acr_values="1"`], '/app/bff/login?acr_values=1'],
  [`Bearer max_age="7", ${insufficient}, DPoP max_age="8"`, '/app/bff/login?max_age=7'],
]

for (const [challenges, url] of wanted) {
  test(`a challenge asks for a stronger or newer login: ${challenges}`, () =>
    assert.equal(urlFor(challenges), url))
}

const refused: string[] = [
  'Bearer',
  'Bearer error="invalid_token"',
  'Bearer error="use_dpop_nonce"',
  'Bearer error="invalid_token", error_description="error=insufficient_user_authentication"',
  'Basic realm="error=\\"insufficient_user_authentication\\""',
  'Bearer error="invalid_token", error="insufficient_user_authentication"',
  'error="insufficient_user_authentication"',
  'Bearer errors="insufficient_user_authentication"',
  '',
  '"',
  ',=,"=,',
]

for (const challenges of refused) {
  test(`a challenge does not ask for another login: '${challenges}'`, () =>
    assert.equal(urlFor(challenges), undefined))
}

test('without a challenge there is no login URL', () => assert.equal(urlFor(undefined), undefined))

test('parameters that our login would refuse are left out of its URL', () => {
  for (const bad of ['max_age="-1"', 'max_age="soon"', `max_age="${'9'.repeat(10)}"`, 'acr_values=""']) {
    assert.equal(urlFor(`Bearer ${insufficient}, ${bad}`), '/app/bff/login')
  }
  assert.equal(
    urlFor(`Bearer ${insufficient}, acr_values="caf\xe9", max_age="1"`),
    '/app/bff/login?max_age=1',
  )
})

test('values of a challenge are escaped in the login URL', () => {
  const url = urlFor(`Bearer ${insufficient}, acr_values="a&returnUrl=//evil.example#?\\"<>\\\\"`)
  assert.equal(url, '/app/bff/login?acr_values=a%26returnUrl%3D%2F%2Fevil.example%23%3F%22%3C%3E%5C')
})

test('parsing a challenge takes linear time', () => {
  for (const part of ['a ', 'a=', '"', '\\"', ' ', ',', 'a="\\', 'a = ']) {
    const startedAt = process.cpuUsage().user
    urlFor(`Bearer ${part.repeat(16_384)}`)
    // A quadratic parser takes minutes.
    assert.ok(process.cpuUsage(undefined).user - startedAt < 2_000_000, part)
  }
})
