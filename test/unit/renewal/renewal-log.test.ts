import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { hashForLog } from '../../../plugins/logging/logger.ts'
import { createWorld, failed, granted, idToken, lifetimeMs, refused, settle } from './support.ts'

const hashOf = (token: string) =>
  createHash('sha256').update(token).digest().subarray(0, 16).toString('base64url')
const request = {
  level: 'debug',
  fields: { event: 'token.renewal.request', tokenEndpoint: 'https://issuer.example/token' },
}
const grant = {
  level: 'trace',
  fields: { event: 'token.renewal.grant', refreshTokenHash: hashOf('refresh-0') },
}

test('each step of a renewal is logged', async () => {
  const { startGateway, signIn, issuer, logger, log, clock } = createWorld()
  const session = await signIn(5_000)
  const startedAt = clock.now()
  const answer = issuer.hold()
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  await clock.advance(1_234)
  answer(granted('new'))
  await waiting

  assert.deepEqual(log, [
    {
      level: 'debug',
      fields: {
        event: 'token.renewal.due',
        expiresAt: new Date(startedAt + 5_000).toISOString(),
        forced: false,
        background: false,
      },
    },
    grant,
    request,
    {
      level: 'debug',
      fields: {
        event: 'token.renewal.done',
        tokenType: 'Bearer',
        expiresAt: new Date(startedAt + lifetimeMs).toISOString(),
        durationMs: 1_234,
      },
    },
  ])
})

test('the log says whether a renewal runs in the background or was forced', async () => {
  for (const [forced, background] of [
    [false, true],
    [true, false],
  ]) {
    const { startGateway, signIn, logger, log } = createWorld()
    const renewer = startGateway()
    if (forced) await renewer.forceRenewal(await signIn(200_000), 'api', logger)
    else await renewer.withUsableToken(await signIn(50_000), logger)
    await renewer.idle()
    const due = log.find(({ fields }) => fields['event'] === 'token.renewal.due')
    assert.equal(due?.fields['forced'], forced)
    assert.equal(due?.fields['background'], background)
  }
})

test('an expiry that is not known is null in token.renewal.due', async () => {
  const { startGateway, signIn, logger, log } = createWorld()
  const session = await signIn(200_000)
  const { expiresAt: _, ...tokenSet } = session.record.tokenSet
  await startGateway().forceRenewal({ ...session, record: { ...session.record, tokenSet } }, 'api', logger)
  assert.equal(log[0]?.fields['expiresAt'], null)
})

const failures = [
  {
    what: 'a transient failure',
    answer: failed('http_503'),
    fields: { reason: 'http_503', final: false, retryInMs: 1_000 },
  },
  {
    what: 'a 429',
    answer: failed('http_429', 9_000),
    fields: { reason: 'http_429', final: false, retryInMs: 9_000 },
  },
  {
    what: 'invalid_grant',
    answer: refused,
    fields: { reason: 'invalid_grant', final: true, retryInMs: null },
    ended: { reason: 'refused', oauthError: 'invalid_grant' },
  },
  {
    what: 'a foreign identity',
    answer: granted('foreign', { idToken: idToken({ sub: 'bob' }) }),
    fields: { reason: 'foreign_identity', final: true, retryInMs: null },
    ended: { reason: 'foreign_identity' },
  },
]
for (const { what, answer, fields, ended } of failures) {
  test(`${what} is a warning that says what happens next`, async () => {
    const { startGateway, signIn, issuer, logger, log } = createWorld()
    issuer.answers.push(answer)
    await assert.rejects(startGateway().withUsableToken(await signIn(5_000), logger))

    assert.deepEqual(log.slice(1), [
      grant,
      request,
      { level: 'warn', fields: { event: 'token.renewal.failed', ...fields } },
      ...(ended ? [{ level: 'info', fields: { event: 'session.ended', ...ended } }] : []),
    ])
  })
}

test('a store that fails during a background renewal is logged', async () => {
  const { startGateway, signIn, logger, log, breakStore } = createWorld()
  breakStore('lock')
  const renewer = startGateway()
  await renewer.withUsableToken(await signIn(50_000), logger)
  await renewer.idle()
  const { level, fields } = log.at(-1) ?? {}
  assert.equal(level, 'warn')
  assert.equal(fields?.['event'], 'token.renewal.failed')
  assert.equal(fields?.['reason'], 'store_unavailable')
  assert.equal(fields?.['final'], false)
  assert.equal(fields?.['retryInMs'], 0)
})

test('an internal error is not blamed on the store', async () => {
  const { startGateway, signIn, logger, log, interceptStore } = createWorld()
  interceptStore('lock', () => Promise.reject(new TypeError('on purpose')))
  await assert.rejects(startGateway().withUsableToken(await signIn(5_000), logger), TypeError)
  assert.equal(log.at(-1)?.fields['reason'], 'internal_error')
})

test('no token is ever logged', async () => {
  const { startGateway, signIn, issuer, logger, log, sessions } = createWorld()
  const renewer = startGateway()
  const answers = [
    granted('ok'),
    failed('http_503'),
    refused,
    granted('x', { idToken: idToken({ sub: 'bob' }) }),
  ]
  for (const answer of answers) {
    issuer.answers.push(answer)
    await renewer.withUsableToken(await signIn(5_000), logger).catch(() => {})
  }
  const gone = await signIn(5_000)
  const late = issuer.hold()
  issuer.revocation = () => Promise.reject(new Error('on purpose'))
  const waiting = renewer.withUsableToken(gone, logger).catch(() => {})
  await settle()
  await sessions.end(gone)
  late(granted('late', { refreshToken: 'refresh-late' }))
  await waiting

  const text = JSON.stringify(log)
  assert.match(text, /token\.revocation\.failed/)
  for (const secret of ['access-', 'refresh-', 'eyJ', gone.key.toString('base64url')])
    assert.ok(!text.includes(secret), `the log holds ${secret}`)
})

test('a refresh token is logged as the first 16 bytes of its SHA-256 in base64url', () => {
  assert.equal(hashForLog('refresh-0'), hashOf('refresh-0'))
  assert.equal(hashForLog('refresh-0').length, 22)
})
