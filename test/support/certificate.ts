import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'

export interface KeyPair {
  cert: string
  key: string
}

/** A certificate authority for tests. PEM. */
export interface Authority {
  cert: string
  /** @param names DNS names; an entry of four numbers is an IPv4 address */
  issue(...names: string[]): KeyPair
}

/**
 * A certificate for `localhost` and 127.0.0.1, signed by its own key. PEM.
 * @param validFrom milliseconds since the epoch; it is valid for a day
 */
export function selfSignedCertificate(validFrom = Date.now() - hourMs): KeyPair {
  const pair = newKeyPair()
  return certificate({
    subject: 'localhost',
    extensions: [alternativeNames('localhost', '127.0.0.1')],
    pair,
    issuer: 'localhost',
    issuerKey: pair.privateKey,
    validFrom,
  })
}

export function certificateAuthority(): Authority {
  const pair = newKeyPair()
  const issuer = `Test authority ${randomBytes(4).toString('hex')}`
  const by = { issuer, issuerKey: pair.privateKey, validFrom: Date.now() - hourMs }
  return {
    cert: certificate({ ...by, subject: issuer, extensions: [isAuthority], pair }).cert,
    issue: (...names) =>
      certificate({
        ...by,
        subject: names[0] ?? '',
        extensions: [alternativeNames(...names)],
        pair: newKeyPair(),
      }),
  }
}

function newKeyPair() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

interface Certificate {
  subject: string
  extensions: Buffer[]
  pair: ReturnType<typeof newKeyPair>
  issuer: string
  issuerKey: KeyObject
  validFrom: number
}

function certificate({ subject, extensions, pair, issuer, issuerKey, validFrom }: Certificate): KeyPair {
  const name = (text: string) => sequence(set(sequence(commonName, utf8String(text))))
  const toBeSigned = sequence(
    explicit(0, integer(2)),
    // Positive and without leading zeros.
    der(0x02, Buffer.concat([Buffer.of(0x40), randomBytes(8)])),
    sequence(ecdsaWithSha256),
    name(issuer),
    sequence(utcTime(validFrom), utcTime(validFrom + 24 * hourMs)),
    name(subject),
    pair.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...extensions)),
  )
  const signature = sign('sha256', toBeSigned, issuerKey)
  const signed = sequence(
    toBeSigned,
    sequence(ecdsaWithSha256),
    der(0x03, Buffer.concat([Buffer.of(0), signature])),
  )
  const base64 = signed.toString('base64').replaceAll(/.{64}(?!$)/g, '$&\n')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

const hourMs = 60 * 60 * 1000
const commonName = oid(0x55, 0x04, 0x03)
const ecdsaWithSha256 = oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)
/** Critical basic constraints: `CA:TRUE`. */
const isAuthority = sequence(
  oid(0x55, 0x1d, 0x13),
  der(0x01, Buffer.of(0xff)),
  der(0x04, sequence(der(0x01, Buffer.of(0xff)))),
)

function alternativeNames(...names: string[]): Buffer {
  const entries = names.map((name) =>
    isIPv4(name) ? der(0x87, Buffer.from(name.split('.').map(Number))) : der(0x82, Buffer.from(name)),
  )
  return sequence(oid(0x55, 0x1d, 0x11), der(0x04, sequence(...entries)))
}

/** Tag, length, content. */
function der(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag, ...derLength(content.length)]), content])
}

/** In as few bytes as possible, as browsers require. */
function derLength(length: number): number[] {
  if (length < 0x80) return [length]
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
}

function sequence(...members: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(members))
}

function set(...members: Buffer[]): Buffer {
  return der(0x31, Buffer.concat(members))
}

function explicit(number: number, content: Buffer): Buffer {
  return der(0xa0 + number, content)
}

function integer(small: number): Buffer {
  return der(0x02, Buffer.of(small))
}

function oid(...bytes: number[]): Buffer {
  return der(0x06, Buffer.from(bytes))
}

function utf8String(text: string): Buffer {
  return der(0x0c, Buffer.from(text))
}

function utcTime(ms: number): Buffer {
  const [date = '', time = ''] = new Date(ms).toISOString().slice(2, 19).replaceAll(/[-:]/g, '').split('T')
  return der(0x17, Buffer.from(`${date}${time}Z`))
}
