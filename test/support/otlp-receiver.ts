import { once } from 'node:events'
import { createServer } from 'node:http'
import type { TestContext } from 'node:test'
import { listen, stop } from '../../demo/listen.ts'

/** A span as an OTLP receiver gets it. */
export interface ReceivedSpan {
  traceId: string
  spanId: string
  parentSpanId: string
  name: string
  kind: number
  attributes: Record<string, string | number | boolean>
  links: { traceId: string; spanId: string }[]
}

export interface OtlpReceiver {
  url: string
  spans: ReceivedSpan[]
  /** All that was received, as text. */
  text(): string
}

/** Takes traces over OTLP with http/protobuf. @see https://opentelemetry.io/docs/specs/otlp/#otlphttp */
export async function startOtlpReceiver(t: TestContext): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = []
  const bodies: Buffer[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    await once(request, 'end')
    const body = Buffer.concat(chunks)
    bodies.push(body)
    if (request.url === '/v1/traces')
      for (const resource of messages(body, 1))
        for (const scope of messages(resource, 2)) spans.push(...messages(scope, 2).map(readSpan))
    response.setHeader('content-type', 'application/x-protobuf')
    response.end()
  })
  const port = await listen(server, 0)
  t.after(() => stop(server))
  return { url: `http://127.0.0.1:${port}`, spans, text: () => Buffer.concat(bodies).toString('latin1') }
}

type Field = { number: number; value: Buffer | bigint }

/** The fields of a protobuf message. */
function fields(message: Buffer): Field[] {
  const found: Field[] = []
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] ?? 0
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const key = Number(varint())
    const [number, type] = [key >> 3, key & 7]
    if (type === 0) found.push({ number, value: varint() })
    else {
      const length = type === 2 ? Number(varint()) : type === 1 ? 8 : 4
      found.push({ number, value: message.subarray(at, at + length) })
      at += length
    }
  }
  return found
}

function messages(message: Buffer, wanted: number): Buffer[] {
  return fields(message).flatMap(({ number, value }) =>
    number === wanted && Buffer.isBuffer(value) ? value : [],
  )
}

function readSpan(message: Buffer): ReceivedSpan {
  const hex = (number: number, of = message) => messages(of, number)[0]?.toString('hex') ?? ''
  return {
    traceId: hex(1),
    spanId: hex(2),
    parentSpanId: hex(4),
    name: String(messages(message, 5)[0]),
    kind: Number(fields(message).find(({ number }) => number === 6)?.value ?? 0),
    attributes: Object.fromEntries(messages(message, 9).map(readAttribute)),
    links: messages(message, 13).map((link) => ({ traceId: hex(1, link), spanId: hex(2, link) })),
  }
}

function readAttribute(message: Buffer): [string, string | number | boolean] {
  const [name, value] = [String(messages(message, 1)[0]), messages(message, 2)[0] ?? Buffer.alloc(0)]
  const [field] = fields(value)
  if (!field || Buffer.isBuffer(field.value)) return [name, String(field?.value ?? '')]
  return [name, field.number === 2 ? field.value === 1n : Number(field.value)]
}
