import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultsOf, key, load, loadFile } from './support.ts'

const secret = 'hunter2'

/** Given by mistake instead of a path: with the text that OpenSSL writes above, or without the PEM frame. */
const pastedKeys = [
  `Bag Attributes\n    localKeyID: 01\n-----BEGIN PRIVATE KEY-----\n${secret}`,
  `MC4CAQAwBQYDK2VwBCIEI${secret}${'A'.repeat(35)}=`,
  `MIIEvQIBADANBgkqhkiG9w0B\n${secret}${'A'.repeat(64)}`,
  `{"d":"${secret}"}`,
]

test('no fault repeats a secret, whichever variable holds it', () => {
  const runs = [
    () => load({ OIDC_CLIENT_SECRET: `${secret}\n${secret}`, PORT: 'x' }),
    () => load({ SESSION_KEYS: `${key},${secret}` }),
    () => load({ REDIS_URL: `redis://${secret}@localhost` }),
    () => load({ REDIS_URL: `redis://user:${secret}@localhost:x` }),
    () => load({ REDIS_URL: `redis://user:${secret}%@localhost` }),
    () => load({ REDIS_URL: `redis://localhost?password=${secret}` }),
    () => load({ REDIS_URL: secret }),
    () => load({ PUBLIC_URL: `https://user:${secret}@app.example.com` }),
    () => load({ OIDC_ISSUER: `https://user:a@${secret}@login.example.com` }),
    () => load({ API_URL: `https://api.example.com?key=${secret}` }),
    () => load({ API_URL: `ftp://${secret}:@api.example.com` }),
    () => load({ CORS_ORIGINS: `https://a.example.com,https://x:${secret}@b.example.com` }),
    () => load({ OIDC_CLIENT_PRIVATE_KEY_FILE: `-----BEGIN PRIVATE KEY-----\n${secret}` }),
    () => load({ OIDC_CLIENT_PRIVATE_KEY_FILE: `{"d":"${secret}"}` }),
    () => load({ CONFIG_FILE: `{"oidcClientSecret":"${secret}"}` }),
    () => loadFile(`{ "oidcClientSecret": ${secret} }`),
    () => loadFile(`{ "oidcClientSecret": "${secret}" "port": 1 }`),
    () => loadFile({ oidc: { clientSecrt: secret } }),
    () => loadFile({ oidc: { clientSecret: [secret] } }),
    () => loadFile({ oidc: { clientSecret: { value: secret } } }),
    () => loadFile({ session: { keys: [secret, secret] } }, { SESSION_KEYS: '' }),
    () => loadFile({ upstreams: [{ prefix: '/api', target: `https://user:${secret}@api.example.com` }] }),
    () => loadFile({ upstreams: [{ prefix: '/api', target: `https://api.example.com?key=${secret}` }] }),
    () =>
      loadFile({
        upstreams: [{ prefix: '/api', target: 'https://a', ca: `-----BEGIN PRIVATE KEY-----\n${secret}` }],
      }),
    ...pastedKeys.flatMap((pasted) => [
      () => load({ TLS_CERT_FILE: '/tls.crt', TLS_KEY_FILE: pasted }),
      () => load({ OIDC_CLIENT_PRIVATE_KEY_FILE: pasted }),
      () => loadFile({ upstreams: [{ prefix: '/api', target: 'https://a', clientKey: pasted }] }),
    ]),
  ]
  for (const run of runs) {
    const message = faultsOf(run).join('\n')
    assert.ok(!message.includes(secret), `${run}\n${message}`)
  }
})

test('no warning repeats a value of a variable', () => {
  const { warnings } = load({ OIDC_SECRET: secret, SESSION_KEY: secret, SESSION_KEYS: '' })
  assert.equal(warnings.length, 3)
  assert.ok(!warnings.join().includes(secret))
})
