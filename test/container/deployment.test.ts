import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { options } from '../../config/schema/index.ts'
import { type Duration, parseDuration } from '../../config/schema/option.ts'
import { traceVariables } from '../../plugins/observability/tracing/settings.ts'

const compose = read('compose.yaml')
const dockerfile = read('Dockerfile')

test('.dockerignore lets through exactly the files that the Dockerfile copies', () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  )
  const ignore = read('.dockerignore')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'))

  assert.equal(ignore[0], '*')
  assert.deepEqual(ignore.slice(1).sort(), [...new Set(copied)].map((source) => `!${source}`).sort())
})

test('the image is built of all that the package is built of', () => {
  const { include } = JSON.parse(read('tsconfig.build.json')) as { include: string[] }
  for (const source of include)
    assert.match(dockerfile, new RegExp(`^COPY .*\\b${source.replace('.', '\\.')}\\b`, 'm'))
})

test('the image names its base once, so that it can be pinned, and holds its labels and a list of its packages', () => {
  assert.equal([...dockerfile.matchAll(/^FROM node:\S+ AS base$/gm)].length, 1)
  assert.deepEqual(
    [...dockerfile.matchAll(/^FROM (?!node:)(\w+)/gm)].map(([, name]) => name),
    ['base', 'build', 'base', 'base'],
  )
  assert.match(read('.github/workflows/release.yml'), /'s\/\^FROM \\\(node:/)
  for (const label of ['title', 'description', 'licenses', 'url', 'source', 'documentation', 'base.name'])
    assert.ok(dockerfile.includes(`org.opencontainers.image.${label}="`), label)
  assert.match(dockerfile, /npm sbom .*> sbom\.cdx\.json/)
  assert.match(dockerfile, /^COPY --from=dependencies \/app\/sbom\.cdx\.json/m)
})

test('compose.yaml limits memory and processes of every service, and takes away its privileges', () => {
  const { services } = parse(compose)
  assert.ok(Object.keys(services).length > 3)
  for (const [name, service] of Object.entries(services) as [string, Record<string, unknown>][]) {
    assert.ok(service['mem_limit'] && service['pids_limit'], name)
    assert.deepEqual([service['read_only'], service['cap_drop']], [true, ['ALL']], name)
    assert.deepEqual(service['security_opt'], ['no-new-privileges:true'], name)
  }
})

test('compose.yaml passes every variable on, and demands all that production requires', () => {
  const set = gatewayEnvironment()
  const demanded = set.filter((name) => compose.includes(`\${${name}:?`))

  assert.deepEqual(
    set.filter((name) => !traceVariables.includes(name) && !options.some(({ env }) => env === name)),
    [],
  )
  for (const { env } of options.filter(({ isRequired, defaultText }) => isRequired && !defaultText))
    assert.ok(demanded.includes(env), env)
  for (const name of ['PUBLIC_URL', 'SESSION_KEYS']) assert.ok(demanded.includes(name), name)
  const fixed = ['HOST', 'PORT', 'TLS_CERT_FILE', 'TLS_KEY_FILE']
  assert.deepEqual(
    options.map(({ env }) => env).filter((env) => !fixed.includes(env) && !set.includes(env)),
    [],
  )
})

test('compose.yaml gives a gateway more time to stop than it can take', () => {
  const [grace, delay, timeout] = ['stop_grace_period', 'SHUTDOWN_DELAY', 'SHUTDOWN_TIMEOUT'].map((key) =>
    parseDuration((new RegExp(`${key}: (\\w+)`).exec(compose)?.[1] ?? '') as Duration),
  )

  assert.ok(Number(grace) > Number(delay) + Number(timeout))
})

test('the load balancer ignores X-Forwarded-For of browsers, and logs no authorization code', () => {
  const haproxy = read('deploy/haproxy.cfg')

  assert.match(haproxy, /http-request del-header X-Forwarded-For$/m)
  assert.doesNotMatch(haproxy, /option httplog|%r\b|%HU|%HQ/)
})

/** Names of the variables that compose.yaml gives the gateway. */
function gatewayEnvironment(): string[] {
  const [, block = ''] = /^ {4}environment:\n((?: {6}.*\n)+)/m.exec(compose) ?? []
  return [...block.matchAll(/^ {6}([A-Z_]+):/gm)].map(([, name = '']) => name)
}

function read(path: string): string {
  return readFileSync(resolve(import.meta.dirname, '../..', path), 'utf8')
}
