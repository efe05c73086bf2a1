import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPagePolicy } from '../../../plugins/frontend/page-policy.ts'

const site = { https: true, issuerOrigin: 'https://login.example.com' }

function directives(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(';').map((directive) => {
      const [name = '', ...sources] = directive.split(' ')
      return [name, sources.join(' ')]
    }),
  )
}

function policy(
  widening: string[],
  code?: { scripts: string[]; handlers: string[] },
): Record<string, string> {
  return directives(createPagePolicy({ ...site, widening })(code))
}

test('unless told otherwise, a page gets scripts of its own origin only', () => {
  assert.deepEqual(policy([]), {
    'default-src': "'self'",
    'base-uri': "'self'",
    'font-src': "'self' https: data:",
    'form-action': "'self'",
    'frame-ancestors': "'self'",
    'frame-src': "'self' https://login.example.com",
    'img-src': "'self' https: data: blob:",
    'object-src': "'none'",
    'script-src': "'self'",
    'script-src-attr': "'none'",
    'style-src': "'self' https: 'unsafe-inline'",
    'upgrade-insecure-requests': '',
  })
})

test('inline scripts are allowed by hash, and handlers by theirs, with unsafe-hashes nowhere else', () => {
  const scripts = policy([], { scripts: ["'sha256-a'"], handlers: [] })
  assert.equal(scripts['script-src'], "'self' 'sha256-a'")
  assert.equal(scripts['script-src-attr'], "'none'")
  const both = policy([], { scripts: ["'sha256-a'"], handlers: ["'sha256-b'"] })
  assert.equal(both['script-src'], "'self' 'sha256-a'")
  assert.equal(both['script-src-attr'], "'unsafe-hashes' 'sha256-b'")
  assert.deepEqual(policy([], { scripts: [], handlers: [] }), policy([]))
})

test('a configured directive adds to what the policy has, or would fall back to', () => {
  const widened = (directive: string) => policy([directive])[directive.split(' ')[0] ?? '']
  assert.equal(widened('img-src http://images'), "'self' https: data: blob: http://images")
  assert.equal(widened("script-src 'wasm-unsafe-eval'"), "'self' 'wasm-unsafe-eval'")
  assert.equal(widened('worker-src blob:'), "'self' blob:")
  assert.equal(widened('connect-src https://o1.ingest.sentry.io'), "'self' https://o1.ingest.sentry.io")
  assert.equal(widened('style-src-elem https://a.example'), "'self' https: 'unsafe-inline' https://a.example")
  assert.equal(widened('object-src https://a.example'), 'https://a.example')
  assert.equal(widened("script-src-attr 'unsafe-inline'"), "'unsafe-inline'")
  assert.equal(widened('frame-ancestors https://portal.example'), "'self' https://portal.example")
  assert.equal(widened('report-uri /csp'), '/csp')
  assert.equal(widened('sandbox allow-scripts'), 'allow-scripts')
  const both = policy(['worker-src blob:', "script-src 'wasm-unsafe-eval'", 'script-src https://a.example'])
  assert.equal(both['script-src'], "'self' 'wasm-unsafe-eval' https://a.example")
})

test('widened script directives have the hashes of the page, unless these would undo what was widened', () => {
  const code = { scripts: ["'sha256-a'"], handlers: ["'sha256-b'"] }
  const elements = policy(['script-src-elem https://a.example'], code)
  assert.equal(elements['script-src-elem'], "'self' https://a.example 'sha256-a'")
  const inline = policy(["script-src 'unsafe-inline'", "script-src-attr 'unsafe-inline'"], code)
  assert.equal(inline['script-src'], "'self' 'unsafe-inline'")
  assert.equal(inline['script-src-attr'], "'unsafe-inline'")
})
