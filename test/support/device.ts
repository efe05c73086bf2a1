import assert from 'node:assert/strict'
import type { LightMyRequestResponse } from 'fastify'
import { exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose'
import type { InjectBrowser } from './inject-browser.ts'

export const registerPath = '/bff/device-bound/register'
export const refreshPath = '/bff/device-bound/refresh'

/** Does what a browser with Device Bound Session Credentials does, with a key in memory. */
export interface Device {
  /** The JWT of a registration. @param header replaces members of its header */
  registration(challenge: string, header?: Partial<JWTHeaderParameters>): Promise<string>
  /** The JWT of a refresh. */
  proof(challenge: string): Promise<string>
}

export async function createDevice(alg = 'ES256'): Promise<Device & { jwk: object }> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(publicKey)
  const sign = (jti: string, header: object) =>
    new SignJWT({ jti }).setProtectedHeader({ alg, typ: 'dbsc+jwt', ...header }).sign(privateKey)
  return {
    jwk,
    registration: (challenge, header = {}) => sign(challenge, { jwk, ...header }),
    proof: (challenge) => sign(challenge, {}),
  }
}

/** The challenge of a registration that an answer asks for; undefined if it asks for none. */
export function offeredChallenge({ headers }: LightMyRequestResponse): string | undefined {
  return /;challenge="([^"]+)"/.exec(String(headers['secure-session-registration']))?.[1]
}

/** The challenge of an answer to a refresh. */
export function refreshChallenge({ headers }: LightMyRequestResponse): string {
  const [, challenge] = /^"([^"]+)";id="[^"]+"$/.exec(String(headers['secure-session-challenge'])) ?? []
  assert.ok(challenge, 'There is no challenge')
  return challenge
}

/** What the browser itself sends, without a page. */
export function post(browser: InjectBrowser, path: string, headers: Record<string, string>) {
  return browser.call(path, {
    method: 'POST',
    headers: { 'x-csrf': '', 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'no-cors', ...headers },
  })
}

/** Registers with the challenge of an answer. */
export async function register(
  browser: InjectBrowser,
  device: Pick<Device, 'registration'>,
  login: LightMyRequestResponse,
) {
  const challenge = offeredChallenge(login)
  assert.ok(challenge, 'No registration is offered')
  return post(browser, registerPath, {
    'secure-session-response': await device.registration(challenge),
  })
}

/** A login and its registration. @returns the identifier of the binding */
export async function signInBound(browser: InjectBrowser, device: Device): Promise<string> {
  const answer = await register(browser, device, await browser.signIn())
  assert.equal(answer.statusCode, 200, answer.body)
  return answer.json().session_identifier
}

/** Asks for a challenge. */
export function askToRefresh(browser: InjectBrowser, id: string) {
  return post(browser, refreshPath, { 'sec-secure-session-id': `"${id}"` })
}

export function sendProof(browser: InjectBrowser, id: string, jwt: string) {
  return post(browser, refreshPath, {
    'sec-secure-session-id': `"${id}"`,
    'secure-session-response': jwt,
  })
}

/** A whole refresh. */
export async function refresh(browser: InjectBrowser, device: Device, id: string) {
  const asked = await askToRefresh(browser, id)
  assert.equal(asked.statusCode, 403, asked.body)
  return sendProof(browser, id, await device.proof(refreshChallenge(asked)))
}
