import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertFault, faultsOf, loadFile } from './support.ts'

const [shop, desk] = ['https://shop.example.com', 'https://desk.example.com'] as const

test('each frontend has its own option, else the shared one, else the default', () => {
  const { options, frontends } = loadFile(
    {
      refreshBeforeExpiration: '30s',
      upstreams: [{ prefix: '/api', target: 'https://api.example.com' }],
      frontends: [
        { publicUrl: shop, oidc: { clientId: 'shop' } },
        { publicUrl: desk, oidc: { issuer: 'https://staff.example.com', clientId: 'desk' }, upstreams: [] },
      ],
    },
    { OIDC_CLIENT_ID: 'from the environment' },
  )

  assert.equal(options, frontends?.[0])
  const settings = frontends?.map(({ publicUrl, oidc, upstreams, refreshBeforeExpirationMs, session }) => [
    publicUrl.host,
    oidc.issuer.host,
    oidc.clientId,
    upstreams.length,
    refreshBeforeExpirationMs,
    session.idleTimeoutMs / 3_600_000,
  ])
  assert.deepEqual(settings, [
    ['shop.example.com', 'login.example.com', 'shop', 1, 30_000, 8],
    ['desk.example.com', 'staff.example.com', 'desk', 0, 30_000, 8],
  ])
})

test('faults name their frontend; faults in shared options are reported once', () => {
  const faults = faultsOf(() =>
    loadFile(
      {
        refreshBeforeExpiration: 'soon',
        frontends: [
          { publicUrl: shop, oidc: { clientId: 'shop', timeout: '5' } },
          { publicUrl: desk, oidc: {}, colour: 'red', upstreams: [{ prefix: 'api', target: shop }] },
          'neither',
        ],
      },
      { OIDC_CLIENT_ID: '' },
    ),
  )

  assert.deepEqual(
    faults.map((fault) => fault.replace(/ (in|is missing|must).*/, '')),
    [
      'frontends[0].oidc.timeout (OIDC_TIMEOUT)',
      'refreshBeforeExpiration (REFRESH_BEFORE_EXPIRATION)',
      'frontends[1].colour',
      'frontends[1]: OIDC_CLIENT_ID',
      'frontends[1]: upstreams[0].prefix',
      'frontends[2]',
    ],
  )
})

test('options of the process are set outside `frontends`', () => {
  for (const [own, label] of [
    [{ port: 3001 }, 'port'],
    [{ redisUrl: 'redis://x' }, 'redisUrl'],
    [{ metricsPort: 9090 }, 'metricsPort'],
    [{ metricsHost: '::1' }, 'metricsHost'],
    [{ adminHost: '::1' }, 'adminHost'],
    [{ redisUrlFile: '/run/secrets/redis' }, 'redisUrlFile'],
  ] as const) {
    const load = () =>
      loadFile({ frontends: [{ publicUrl: shop, ...own }] }, {}, { '/run/secrets/redis': 'rediss://x' })
    assertFault(load, new RegExp(`^frontends\\[0\\]\\.${label} .* is for all frontends together`))
  }
})

test('frontends must differ in host or path, and on one host in their cookie names', () => {
  const load = (...frontends: object[]) => loadFile({ frontends })

  assertFault(
    () => load({ publicUrl: shop }, { publicUrl: shop, cookie: { name: 'b' } }),
    /has host and path of/,
  )
  assertFault(
    () => load({ publicUrl: shop }, { publicUrl: `${shop}/desk` }),
    /cookie\.name .* frontends\[0\]/,
  )
  const api = { prefix: '/desk', target: 'https://api.example.com' }
  assertFault(
    () => load({ publicUrl: shop, upstreams: [api] }, { publicUrl: `${shop}/desk`, cookie: { name: 'b' } }),
    /claim the same paths/,
  )
  assert.equal(load({ publicUrl: shop }, { publicUrl: desk }).frontends?.length, 2)
  assert.equal(
    load({ publicUrl: shop }, { publicUrl: `${shop}/desk`, cookie: { name: 'b' } }).frontends?.length,
    2,
  )
})

test('`frontends` is a list with at least one entry, and can not be nested', () => {
  assertFault(() => loadFile({ frontends: {} }), /^frontends in .* must be a list/)
  assertFault(() => loadFile({ frontends: [] }), /^frontends in .* must be a list/)
  assertFault(() => loadFile({ frontends: [{ publicUrl: shop, frontends: [] }] }), /has no meaning/)
})

test('no upstream of one frontend may name a session or login cookie of another', () => {
  for (const option of ['requestCookies', 'responseCookies']) {
    for (const name of ['__Host-desk', 'desk', '__Host-desk-tx-0123456789abcdef', '__Secure-DESK-rounds']) {
      const upstream = { prefix: '/api', target: 'https://api.example.com', [option]: ['theme', name] }
      assertFault(
        () =>
          loadFile({
            frontends: [
              { publicUrl: shop, cookie: { name: '__Host-shop' }, upstreams: [upstream] },
              { publicUrl: desk, cookie: { name: '__Host-desk' } },
            ],
          }),
        new RegExp(
          `^The upstream at /api of frontends\\[0\\] in .* names the cookie ${name}, .* frontends\\[1\\]`,
        ),
      )
    }
  }
})
