/**
 * Calls the gateway. The header shows that the call comes from a script of this origin: a form or an image on
 * another site can't send it.
 *
 * @returns the answer, with `status: 0` if there was none
 */
export async function call(path) {
  const startedAt = Date.now()
  const start = performance.now()
  const finish = (answer) => ({ path, startedAt, durationMs: performance.now() - start, ...answer })
  try {
    const response = await fetch(path, { headers: { 'X-CSRF': '1', Accept: 'application/json' } })
    const body = parse(await response.text())
    return finish({ status: response.status, ok: response.ok, body })
  } catch {
    return finish({ status: 0, ok: false, body: { error: 'The gateway did not answer' } })
  }
}

/** The session view. Reading it doesn't prolong the session: a forgotten tab would never be signed out. */
export async function fetchSession() {
  const answer = await call('/bff/session?slide=false')
  return answer.ok ? sessionFrom(answer.body) : undefined
}

/** The logout URL; undefined when the session has ended. */
export async function fetchLogoutUrl() {
  const { ok, body } = await call('/bff/user')
  return ok ? body.find(({ type }) => type === 'bff:logout_url')?.value : undefined
}

/** With times by this browser's clock, in milliseconds since the epoch. */
function sessionFrom(view) {
  if (!view.isAuthenticated) return { signedIn: false }
  const clockOffset = Date.parse(view.timestamp) - Date.now()
  const local = (iso) => (iso ? Date.parse(iso) - clockOffset : undefined)
  const { renewals, renewedUtc, expiresUtc } = view.accessToken
  return {
    signedIn: true,
    name: view.identity.name,
    sid: view.sid,
    token: {
      number: renewals + 1,
      renewals,
      startsAt: local(renewedUtc) ?? local(view.cookieLifetime.issuedUtc),
      expiresAt: local(expiresUtc),
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
