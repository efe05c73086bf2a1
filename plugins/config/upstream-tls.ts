import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { type Files, readingFault } from './files.ts'
import { looksLikeContent } from './mask.ts'
import type { UpstreamOptions } from './options.ts'
import { host, type Parser } from './parsers.ts'

/** PEM certificates, given themselves or as the path of a file that holds them. */
export function pemCertificates(folder: string, files: Files): Parser<string> {
  return (value) => {
    const pem = pemText(value, folder, files)
    try {
      const found = certificates(pem)
      for (const certificate of found) new X509Certificate(certificate)
      if (found.length > 0) return pem
    } catch {
      // Node's message says no more than that it is no certificate.
    }
    throw new TypeError(
      'must be PEM certificates (-----BEGIN CERTIFICATE-----) or the path of a file that holds them',
    )
  }
}

/** A PEM private key, given itself or as the path of a file that holds it. */
export function pemPrivateKey(folder: string, files: Files): Parser<string> {
  return (value) => {
    const pem = pemText(value, folder, files)
    if (parsedKey(pem)) return pem
    throw new TypeError(
      'must be a PEM private key without a passphrase (-----BEGIN PRIVATE KEY-----) or the path of a file that holds it',
    )
  }
}

/** As it stands in a certificate, so no address. @see https://www.rfc-editor.org/rfc/rfc6066#section-3 */
export function serverName(text: string): string {
  if (/^[\d.]+$|:/.test(text)) throw new TypeError('must be a host name, such as api.internal.example')
  return host(text)
}

/** What is wrong between the TLS options of one upstream, as key and message. */
export function tlsFaults(
  target: URL,
  { clientCert, clientKey, serverName, http2 }: Partial<UpstreamOptions>,
): [key: string, message: string][] {
  const faults: [string, string][] = []
  if (target.protocol === 'http:') {
    const given = { clientCert, clientKey, serverName, http2: http2 || undefined }
    for (const [key, value] of Object.entries(given)) {
      if (value !== undefined) faults.push([key, 'needs a target with https: give it one, or remove this'])
    }
  }
  if (clientCert !== undefined && clientKey === undefined) {
    faults.push(['clientKey', 'is missing: name the file with the private key of clientCert'])
  }
  if (clientKey !== undefined && clientCert === undefined) {
    faults.push(['clientCert', 'is missing: name the file with the certificate of clientKey'])
  }
  if (clientCert !== undefined && clientKey !== undefined && !belong(clientCert, clientKey)) {
    faults.push(['clientKey', 'is not the key of the first certificate in clientCert: name the one that is'])
  }
  return faults
}

/** The certificates of a PEM text, one by one. */
export function certificates(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}

function belong(certificate: string, key: string): boolean {
  const parsed = parsedKey(key)
  return parsed !== undefined && new X509Certificate(certificate).checkPrivateKey(parsed)
}

function parsedKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    return undefined
  }
}

function pemText(value: string, folder: string, files: Files): string {
  if (looksLikeContent(value)) return value
  const path = resolve(folder, value)
  try {
    return files.readText(path)
  } catch (error) {
    throw new TypeError(`${readingFault(error)}: ${path}`)
  }
}
