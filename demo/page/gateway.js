import { createBffClient } from '/client/index.ts'

export const bff = createBffClient()

/** Calls an API through the gateway. @returns the answer, with `status: 0` if there was none */
export async function call(path) {
  const startedAt = Date.now()
  const start = performance.now()
  const finish = (answer) => ({ path, startedAt, durationMs: performance.now() - start, ...answer })
  try {
    const response = await bff.fetch(path)
    const body = parse(await response.text())
    return finish({ status: response.status, ok: response.ok, body })
  } catch {
    return finish({ status: 0, ok: false, body: { error: 'The gateway did not answer' } })
  }
}

/** What the page shows of a session, with times in milliseconds since the epoch. */
export function shown(session) {
  if (!session.isAuthenticated) return { signedIn: false }
  const { renewals, renewedUtc, expiresUtc } = session.accessToken
  return {
    signedIn: true,
    name: session.identity.name,
    sid: session.sid,
    token: {
      number: renewals + 1,
      renewals,
      startsAt: Date.parse(renewedUtc ?? session.cookieLifetime.issuedUtc),
      expiresAt: expiresUtc ? Date.parse(expiresUtc) : undefined,
    },
  }
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
