import { find, setText, timeOfDay } from './dom.js'
import { listEvent } from './event-list.js'
import { call, fetchLogoutUrl, fetchSession } from './gateway.js'
import { showAnswer } from './response-pane.js'
import { addCall, addToken, clearTimeline, drawTimeline, endToken } from './timeline.js'
import { showToken } from './token-card.js'

const keepCalling = find('#keep-calling')
const notice = find('#notice')
const counts = { calls: 0, failed: 0 }
/** The last known session; undefined before the first answer. */
let session
let hasEnded = false

find('#get-session').addEventListener('click', async () => showAnswer(await call('/bff/session')))
find('#call-local').addEventListener('click', async () => showAnswer(await callApi('/local/greeting')))
find('#call-remote').addEventListener('click', async () => showAnswer(await callApi('/api/gettime')))
find('#logout').addEventListener('click', logOut)
keepCalling.addEventListener('change', () => keepCalling.checked && callAgain())

document.addEventListener('visibilitychange', () => document.hidden || refreshSession())
setInterval(() => document.hidden || refreshSession(), 2000)
animate()
await refreshSession()

async function logOut() {
  const url = await fetchLogoutUrl()
  if (url) location.assign(url)
  else await refreshSession()
}

async function callAgain() {
  await callApi('/api/gettime')
  if (session && !session.signedIn) keepCalling.checked = false
  if (keepCalling.checked) setTimeout(() => keepCalling.checked && callAgain(), 2000)
}

async function callApi(path) {
  const answer = await call(path)
  const { startedAt: at, ok, status, durationMs, body } = answer
  const remote = path.startsWith('/api/')
  if (ok && remote) setText(find('[data-remote-time]'), timeOfDay(Date.parse(body.time)))
  counts.calls += 1
  counts.failed += ok ? 0 : 1
  setText(find('[data-calls]'), String(counts.calls))
  setText(find('[data-calls-failed]'), String(counts.failed))
  addCall({ at, remote, failed: !ok })
  const detail = `${status || 'no answer'} · ${Math.max(1, Math.round(durationMs))} ms`
  listEvent({ kind: 'call', at, text: `GET ${path}`, detail, failed: !ok })
  // A background renewal finishes just after the call that started it.
  setTimeout(refreshSession, 200)
  if (status === 401) await refreshSession()
  return answer
}

async function refreshSession() {
  const seen = await fetchSession()
  if (!seen) return showNotice('The gateway does not answer. Is the demo still running?')
  const before = session
  session = seen
  hasEnded = !seen.signedIn && (hasEnded || before?.signedIn === true)
  document.body.dataset.session = seen.signedIn ? 'signed-in' : 'anonymous'
  showNotice(hasEnded ? 'Your session has ended. Log in again to continue.' : '')
  if (seen.signedIn) noteToken(seen, before)
  else if (before?.signedIn) noteEnd()
}

function noteToken({ name, sid, token }, before) {
  setText(find('[data-user-name]'), name)
  setText(find('[data-user-initial]'), name.slice(0, 1).toUpperCase())
  const isSameSession = before?.sid === sid
  if (!isSameSession) {
    clearTimeline()
    listEvent({ kind: 'session', at: Date.now(), text: `Signed in as ${name}` })
  }
  if (isSameSession && token.number > before.token.number) {
    const at = token.startsAt
    listEvent({ kind: 'renewal', at, text: 'Access token renewed', detail: `token #${token.number}` })
    setText(find('#renewal-announcement'), `Access token renewed, now token ${token.number}`)
  }
  addToken(token)
}

function noteEnd() {
  endToken(Date.now())
  listEvent({ kind: 'session', at: Date.now(), text: 'Session ended', failed: true })
}

function showNotice(text) {
  setText(notice, text)
  notice.hidden = text === ''
}

function animate() {
  const now = Date.now()
  showToken(session?.token, now)
  drawTimeline(now)
  const prefersReducedMotion = matchMedia('(prefers-reduced-motion: reduce)').matches
  // In that time nothing moves by more than a pixel.
  setTimeout(() => requestAnimationFrame(animate), prefersReducedMotion ? 1000 : 66)
}
