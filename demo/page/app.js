import { find, setText, timeOfDay } from './dom.js'
import { listEvent } from './event-list.js'
import { bff, call, shown } from './gateway.js'
import { showAnswer } from './response-pane.js'
import { hideSessions, showSessions } from './session-list.js'
import { addCall, addToken, clearTimeline, drawTimeline, endToken } from './timeline.js'
import { showToken } from './token-card.js'

const keepCalling = find('#keep-calling')
const notice = find('#notice')
const counts = { calls: 0, failed: 0 }
/** The last known session; undefined before the first answer. */
let session

find('#get-session').addEventListener('click', async () => showAnswer(await noticed(call('/bff/session'))))
find('#call-local').addEventListener('click', async () => showAnswer(await callApi('/local/greeting')))
find('#call-remote').addEventListener('click', async () => showAnswer(await callApi('/api/gettime')))
find('#logout').addEventListener('click', () => bff.logout())
keepCalling.addEventListener('change', () => keepCalling.checked && callAgain())

animate()
// Also what happens in other tabs, or at the issuer.
bff.onSession(showSession)

async function callAgain() {
  await callApi('/api/gettime')
  if (session && !session.signedIn) keepCalling.checked = false
  if (keepCalling.checked) setTimeout(() => keepCalling.checked && callAgain(), 2000)
}

async function callApi(path) {
  const answer = await noticed(call(path))
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
  return answer
}

const unreachable = 'The gateway does not answer. Is the demo still running?'

/** Shows a notice after a call without an answer, until there is one again. */
async function noticed(calling) {
  const answer = await calling
  const wasShown = notice.textContent === unreachable
  if (answer.status !== 0 && wasShown) showNotice('')
  if (answer.status === 0 && !wasShown) {
    showNotice(unreachable)
    setTimeout(callUntilAnswered, 2000)
  }
  return answer
}

async function callUntilAnswered() {
  const { status } = await noticed(call('/bff/session?slide=false'))
  if (status === 0) setTimeout(callUntilAnswered, 2000)
}

function showSession(current, event) {
  const before = session
  session = shown(current)
  document.body.dataset.session = session.signedIn ? 'signed-in' : 'anonymous'
  const hasEnded = before?.signedIn === true && !session.signedIn
  showNotice(hasEnded ? 'Your session has ended. Log in again to continue.' : '')
  if (hasEnded) noteEnd(current.reason)
  if (!session.signedIn) hideSessions()
  else if (before?.sid !== session.sid) showSessions()
  if (event === 'expiring')
    listEvent({ kind: 'session', at: Date.now(), text: 'Session ends soon', detail: 'within a minute' })
  else if (session.signedIn) noteToken(session, before)
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

function noteEnd(reason = '') {
  endToken(Date.now())
  listEvent({
    kind: 'session',
    at: Date.now(),
    text: 'Session ended',
    detail: reason.replaceAll('_', ' '),
    failed: true,
  })
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
