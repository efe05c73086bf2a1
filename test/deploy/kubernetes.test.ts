import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../../config/index.ts'
import { findExecutable } from '../support/executables.ts'
import { fakeFiles, key } from '../unit/config/support.ts'
import { chartDigest, findHelm, read, render, rendered, run, writtenDigest } from './chart.ts'

// biome-ignore lint/suspicious/noExplicitAny: parsed manifests of many kinds
type Manifest = any

const root = resolve(import.meta.dirname, '../..')
const files = [...Object.values(rendered), 'deploy/kubernetes/example-services.yaml']
const kubernetes = JSON.parse(read('test/data/kubernetes-schema.json'))
const valuesSchema = JSON.parse(read('deploy/helm/fastify-bff/values.schema.json'))
const validValues = new Ajv({ allowUnionTypes: true, strictRequired: false }).compile(valuesSchema)
const defaults = parse(read('deploy/helm/fastify-bff/values.yaml'))

test('the manifests are what the chart makes of the examples', (t) => {
  const helm = findHelm()
  if (helm) {
    run(helm, 'lint', '--strict', 'deploy/helm/fastify-bff', '--values', 'deploy/helm/examples/minimal.yaml')
    for (const [example, file] of Object.entries(rendered))
      assert.equal(read(file), render(helm, example), file)
  } else {
    t.diagnostic(
      'There is no helm on the PATH (go install helm.sh/helm/v3/cmd/helm@v3.19.5, on a machine with Go):',
    )
    t.diagnostic(
      'the chart is not rendered; only that it is the one that the manifests were rendered from is checked.',
    )
  }
  assert.equal(
    writtenDigest(),
    chartDigest(),
    'the chart has changed: run node test/deploy/chart.ts, which needs helm',
  )
})

for (const file of files) {
  test(`Kubernetes accepts every object of ${file}`, () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true })
    ajv.addSchema({ $id: 'kubernetes', ...kubernetes }, undefined, false, false)
    const objects = manifests(file)
    assert.ok(objects.length > 0)
    for (const object of objects) {
      const kind = `${object.apiVersion} ${object.kind}`
      assert.ok(kubernetes.kinds[kind], `There is no schema of ${kind}: see write-kubernetes-schema.ts`)
      const pointer = encodeURIComponent(kind.replaceAll('/', '~1'))
      const validate = ajv.compile({ $ref: `kubernetes#/kinds/${pointer}` })
      assert.ok(validate(object), `${kind} ${object.metadata.name}: ${ajv.errorsText(validate.errors)}`)
    }
  })
}

test('kubeconform accepts all of them, if it is there', (t) => {
  const kubeconform = findExecutable(['kubeconform'])
  if (!kubeconform) {
    t.diagnostic(
      'There is no kubeconform on the PATH: go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0',
    )
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-kubeconform-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const [kind, schema] of Object.entries(kubernetes.kinds)) {
    const [, group = '', version, name = ''] = /^(?:([^/]+)\/)?(\w+) (\w+)$/.exec(kind) ?? []
    const suffix = [group.split('.')[0], version].filter(Boolean).join('-')
    const text = JSON.stringify({ $defs: kubernetes.$defs, ...(schema as object) })
    writeFileSync(join(folder, `${name.toLowerCase()}-${suffix}.json`), text)
  }
  const location = join(folder, '{{ .ResourceKind }}{{ .KindSuffix }}.json')
  run(kubeconform, '-strict', '-schema-location', location, ...files)
})

for (const [example, file] of Object.entries(rendered)) {
  test(`the gateway accepts the configuration of the example ${example}`, () => {
    const { environment, mounted } = configurationOf(manifests(file))
    const { options: loaded, warnings } = loadConfig({ NODE_ENV: 'production', ...environment }, mounted)

    assert.equal(loaded.publicUrl.protocol, 'https:')
    const expected = {
      minimal: [],
      'in-cluster': [/^OIDC_INTERNAL_URL|^oidc\.internalUrl/, /upstream at \/api is reached by plain http/],
      'gateway-api': [/^REDIS_URL is not set/],
    }[example]
    const unexpected = warnings.filter((warning) => !expected?.some((pattern) => pattern.test(warning)))
    assert.deepEqual(unexpected, [])
    assert.equal(warnings.length, expected?.length)
  })

  test(`pods of the example ${example} are confined, and get more time to end than they can take`, () => {
    const { template } = only(manifests(file), 'Deployment').spec
    const { spec } = template
    const { environment } = configurationOf(manifests(file))
    const [delay, timeout] = ['SHUTDOWN_DELAY', 'SHUTDOWN_TIMEOUT'].map((name) =>
      Number.parseInt(environment[name] ?? '', 10),
    )

    assert.ok(spec.terminationGracePeriodSeconds > Number(delay) + Number(timeout))
    assert.equal(spec.securityContext.runAsNonRoot, true)
    assert.equal(spec.automountServiceAccountToken, false)
    assert.equal(spec.securityContext.seccompProfile.type, 'RuntimeDefault')
    for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
      const { securityContext, resources } = container
      assert.deepEqual(securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      assert.ok(resources.limits.memory)
    }
    const [{ livenessProbe, startupProbe, readinessProbe }] = spec.containers
    assert.equal(livenessProbe.httpGet.path, '/healthz')
    assert.equal(startupProbe.httpGet.path, '/healthz')
    assert.equal(readinessProbe.httpGet.path, '/readyz')
  })
}

test('every selector finds the pods, and every reference an object or a key', () => {
  for (const file of Object.values(rendered)) {
    const all = manifests(file)
    const { labels } = only(all, 'Deployment').spec.template.metadata
    const finds = (selector: Record<string, string>) =>
      Object.entries(selector).every(([name, value]) => labels[name] === value)
    for (const { kind, spec } of all) {
      if (kind === 'Service') assert.ok(finds(spec.selector))
      if (kind === 'NetworkPolicy') assert.ok(finds(spec.podSelector.matchLabels))
      if (kind === 'PodDisruptionBudget' || kind === 'Deployment') assert.ok(finds(spec.selector.matchLabels))
      if (kind === 'HorizontalPodAutoscaler')
        assert.equal(spec.scaleTargetRef.name, only(all, 'Deployment').metadata.name)
      if (kind === 'Ingress') {
        const { name, port } = spec.rules[0].http.paths[0].backend.service
        assert.ok(
          all.some(
            (one) =>
              one.kind === 'Service' && one.metadata.name === name && one.spec.ports[0].name === port.name,
          ),
        )
      }
      if (kind === 'ServiceMonitor')
        assert.ok(
          all.some(
            (one) =>
              one.kind === 'Service' &&
              Object.entries(spec.selector.matchLabels).every(
                ([key, value]) => one.metadata.labels[key] === value,
              ) &&
              one.spec.ports[0].name === spec.endpoints[0].port,
          ),
        )
    }
  }
})

test('the schema of the values accepts the defaults and examples, and refuses slips', () => {
  const examples = globSync('deploy/helm/examples/*.yaml', { cwd: root })
  assert.deepEqual(examples.map((file) => basename(file, '.yaml')).sort(), Object.keys(rendered).sort())
  const minimal = parse(read('deploy/helm/examples/minimal.yaml'))
  for (const file of examples) {
    const values = merged(defaults, parse(read(file)))
    assert.ok(validValues(values), `${file}: ${JSON.stringify(validValues.errors)}`)
  }
  for (const slip of [
    { publicUrl: 'http://app.example.com' },
    { publicUrl: 'https://app.example.com/' },
    { replica: 3 },
    { config: {} },
    { config: { oidc: { ...minimal.config.oidc, clientSecret: 'x' } } },
    { secret: { name: 'x', keys: { 'session-keys': 'SESSION_KEYS' } } },
    { metrics: { port: 3000 } },
    { httpRoute: { enabled: true, parentRefs: [] } },
    { shutdown: { delaySeconds: '5s' } },
  ])
    assert.equal(validValues({ ...defaults, ...minimal, ...slip }), false, JSON.stringify(slip))
})

test('the templates use only values that values.yaml has', () => {
  for (const file of globSync('deploy/helm/fastify-bff/templates/*', { cwd: root })) {
    for (const [, path = ''] of read(file).matchAll(/\.Values\.([\w.]+)/g)) {
      if (path.startsWith('config.')) continue
      let value: unknown = defaults
      for (const key of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[key]
      assert.notEqual(value, undefined, `${file}: ${path}`)
    }
  }
})

test("the chart has the package's version", () => {
  const { version } = JSON.parse(read('package.json'))
  const chart = parse(read('deploy/helm/fastify-bff/Chart.yaml'))
  assert.deepEqual([chart.version, chart.appVersion], [version, version])
})

/** As Helm does it: maps are merged, and null removes a default. */
function merged(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const result = { ...base }
  for (const [name, value] of Object.entries(over)) {
    if (value === null) delete result[name]
    else result[name] = isMap(value) && isMap(base[name]) ? merged(base[name], value) : value
  }
  return result
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function manifests(file: string): Manifest[] {
  return parseAllDocuments(read(file)).flatMap((document) => {
    assert.deepEqual(document.errors, [], file)
    return document.toJS() ?? []
  })
}

function only(all: Manifest[], wanted: string): Manifest {
  const found = all.filter(({ kind }) => kind === wanted)
  assert.equal(found.length, 1)
  return found[0]
}

/** The gateway's variables, and the files that are mounted; what a Secret holds is made up. */
function configurationOf(all: Manifest[]) {
  const { spec } = only(all, 'Deployment').spec.template
  const container = spec.containers[0]
  const environment: Record<string, string> = {}
  for (const { name, value } of container.env) environment[name] = value ?? 'from elsewhere'
  const content: Record<string, string> = {
    '/etc/fastify-bff/config/bff.json': only(all, 'ConfigMap').data['bff.json'],
    '/frontend/index.html': '<!doctype html>',
  }
  for (const [name, path] of Object.entries(environment)) {
    if (path.startsWith('/etc/fastify-bff/secret/')) content[path] = secretValue(name)
  }
  assert.ok(
    container.volumeMounts.every(({ name }: Manifest) =>
      spec.volumes.some((volume: Manifest) => volume.name === name),
    ),
  )
  return { environment, mounted: fakeFiles(content) }
}

function secretValue(name: string): string {
  if (name === 'SESSION_KEYS_FILE') return key
  if (name === 'REDIS_URL_FILE') return 'rediss://redis.example.com:6379'
  if (name !== 'OIDC_CLIENT_PRIVATE_KEY_FILE') return 'a secret'
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return JSON.stringify({ ...privateKey.export({ format: 'jwk' }), alg: 'ES256' })
}
