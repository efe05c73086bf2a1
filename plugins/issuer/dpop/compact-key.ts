import { createECDH, createPrivateKey } from 'node:crypto'
import { type DpopKey, isDpopKey } from './key.ts'

/**
 * A key as the cookie of a login holds it: only what the rest can be computed from. A browser may have ten logins under
 * way, and a request's headers are limited.
 */
export function compactKey({ alg, d }: DpopKey): string {
  return `${alg} ${d}`
}

/** @throws TypeError for a value that `compactKey` did not produce */
export function expandKey(compact: string): DpopKey {
  const [alg, d = ''] = compact.split(' ')
  const key = { ...publicPart(alg, Buffer.from(d, 'base64url')), d, alg }
  if (!isDpopKey(key)) throw new TypeError('The key of the login is not valid')
  return key
}

function publicPart(alg: string | undefined, d: Buffer) {
  switch (alg) {
    case 'ES256':
      return { kty: 'EC', crv: 'P-256', ...pointOf('prime256v1', d) }
    case 'ES384':
      return { kty: 'EC', crv: 'P-384', ...pointOf('secp384r1', d) }
    case 'ES512':
      return { kty: 'EC', crv: 'P-521', ...pointOf('secp521r1', d) }
    case 'Ed25519':
    case 'EdDSA': {
      const der = Buffer.concat([pkcs8OfEd25519, d])
      const { kty, crv, x } = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({
        format: 'jwk',
      })
      return { kty, crv, x }
    }
    default:
      return {}
  }
}

function pointOf(curve: string, d: Buffer): { x: string; y: string } {
  const ecdh = createECDH(curve)
  ecdh.setPrivateKey(d)
  // Uncompressed: one byte that says so, then both coordinates.
  const coordinates = ecdh.getPublicKey().subarray(1)
  const half = coordinates.length / 2
  return {
    x: coordinates.subarray(0, half).toString('base64url'),
    y: coordinates.subarray(half).toString('base64url'),
  }
}

/** What precedes the 32 bytes of the key. @see https://www.rfc-editor.org/rfc/rfc8410#section-7 */
const pkcs8OfEd25519 = Buffer.from('302e020100300506032b657004220420', 'hex')
