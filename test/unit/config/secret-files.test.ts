import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeConfig, loadConfig } from '../../../config/index.ts'
import { assertFault, faultsOf, key, load, loadFile, minimal, secretNames } from './support.ts'

const secrets = {
  OIDC_CLIENT_SECRET: 'hunter2',
  SESSION_KEYS: key,
  REDIS_URL: 'rediss://:hunter2@redis.example.com',
  REDIS_SENTINEL_PASSWORD: 'hunter2',
  ADMIN_TOKEN: Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7)).toString('base64'),
}

test('every secret has a value in these tests', () => {
  assert.deepEqual(Object.keys(secrets), secretNames)
})

for (const [name, value] of Object.entries(secrets)) {
  const path = '/run/secrets/it'
  // A token without its port is a warning, and a port without its token a fault.
  const needed = name === 'ADMIN_TOKEN' ? { ADMIN_PORT: '9091' } : {}
  const environment = { ...needed, [name]: '', [`${name}_FILE`]: path }

  test(`${name}_FILE names a file with the value, whose line break at the end does not count`, () => {
    const expected = load({ ...needed, [name]: value }).options
    for (const text of [value, `${value}\n`, `${value}\r\n`, `\uFEFF${value}\n`]) {
      const { options, warnings } = load(environment, { [path]: text })
      assert.deepEqual(options, expected)
      assert.deepEqual(warnings, [])
    }
  })

  test(`${name} and ${name}_FILE together are a fault`, () => {
    assertFault(
      () => load({ ...environment, [name]: value }, { [path]: value }),
      new RegExp(`^${name} and ${name}_FILE are both set: remove one$`),
    )
  })

  test(`a ${name}_FILE that is missing or empty is a fault that names the variable`, () => {
    assertFault(() => load(environment), new RegExp(`^${name}_FILE names a file that does not exist$`))
    for (const text of ['', '\n', ' \n']) {
      assertFault(
        () => load(environment, { [path]: text }),
        new RegExp(`^${name}_FILE names a file that is empty$`),
      )
    }
  })

  test(`a fault in a ${name}_FILE is reported without its content`, () => {
    const [fault = ''] = faultsOf(() => load(environment, { [path]: 'swordfish\nswordfish\n' }))
    assert.match(fault, new RegExp(`^${name}_FILE `))
    assert.ok(!fault.includes('swordfish'), fault)
  })

  test(`a value that was put into ${name}_FILE by mistake is not repeated`, () => {
    const [fault = ''] = faultsOf(() => load({ ...environment, [`${name}_FILE`]: `${value}swordfish` }))
    assert.match(fault, new RegExp(`^${name}_FILE `))
    assert.ok(!fault.includes('swordfish'), fault)
  })

  test(`the value in a ${name}_FILE is masked where the configuration is shown`, () => {
    const { options } = load(environment, { [path]: value })
    assert.ok(!describeConfig(options).includes(value))
  })
}

test('a file that this process may not read is a fault that says so', () => {
  const files = {
    readText(): string {
      throw Object.assign(new Error('EACCES'), { code: 'EACCES' })
    },
    isDirectory: () => false,
  }
  assertFault(
    () => loadConfig({ ...minimal, REDIS_URL_FILE: '/run/secrets/redis' }, files),
    /^REDIS_URL_FILE names a file that this process may not read$/,
  )
})

test('a configuration file can name the files of secrets too, relative to itself', () => {
  const tree = { oidc: { clientSecretFile: 'secrets/client' }, redis: { url_file: '/run/redis' } }
  const { options } = loadFile(
    tree,
    {},
    { '/etc/bff/secrets/client': 'hunter2\n', '/run/redis': 'rediss://redis.example.com\n' },
  )
  assert.equal(options.oidc.clientSecret, 'hunter2')
  assert.equal(options.redisUrl, 'rediss://redis.example.com')
  assertFault(
    () => loadFile({ oidc: { clientSecret: 'a', clientSecretFile: 'b' } }),
    /says OIDC_CLIENT_SECRET_FILE once more, after oidc\.clientSecret /,
  )
})

test('the environment wins over the configuration file in either form', () => {
  const inFile = { oidc: { clientSecret: 'of the file' } }
  const { options } = loadFile(
    inFile,
    { OIDC_CLIENT_SECRET_FILE: '/run/client' },
    { '/run/client': 'hunter2' },
  )
  assert.equal(options.oidc.clientSecret, 'hunter2')

  const named = loadFile({ oidc: { clientSecretFile: 'missing' } }, { OIDC_CLIENT_SECRET: 'hunter2' })
  assert.equal(named.options.oidc.clientSecret, 'hunter2')
})

test('a secret of one frontend comes before the file that the environment names for all', () => {
  const of = (publicUrl: string, oidc = {}) => ({ publicUrl, oidc })
  const { frontends = [] } = loadFile(
    { frontends: [of('https://a.example.com', { clientSecret: 'of a' }), of('https://b.example.com')] },
    { OIDC_CLIENT_SECRET_FILE: '/run/client' },
    { '/run/client': 'hunter2' },
  )
  assert.deepEqual(
    frontends.map(({ oidc }) => oidc.clientSecret),
    ['of a', 'hunter2'],
  )
})

test('a typing error in the name of a secret file variable causes a warning', () => {
  const { warnings } = load({ OIDC_CLIENT_SECRT_FILE: '/run/client' })
  assert.match(
    warnings.join(),
    /^OIDC_CLIENT_SECRT_FILE is not known .* did you mean OIDC_CLIENT_SECRET_FILE/,
  )
})
