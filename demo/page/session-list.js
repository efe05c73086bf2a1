import { element, find, setText } from './dom.js'
import { bff } from './gateway.js'

const list = find('#sessions')
const summary = find('[data-sessions-summary]')
const endOthers = find('#end-others')

/** Shows the user's sessions in all browsers, with buttons to end them. */
export async function showSessions() {
  try {
    const sessions = await bff.sessions()
    list.replaceChildren(...sessions.map(itemOf))
    endOthers.hidden = sessions.length < 2
    setText(summary, summaryOf(sessions))
  } catch {
    hideSessions('The gateway did not answer')
  }
}

export function hideSessions(text = 'Log in to see them') {
  list.replaceChildren()
  endOthers.hidden = true
  setText(summary, text)
}

find('#refresh-sessions').addEventListener('click', showSessions)
endOthers.addEventListener('click', () => end(() => bff.endOtherSessions()))

function itemOf({ id, current, lastUsedAt, userAgent, address, bound }) {
  const button = element('button', { class: 'button quiet', type: 'button' }, 'End')
  button.addEventListener('click', () => end(() => bff.endSession(id)))
  const facts = [address, bound && 'bound to this device', `last used ${when(lastUsedAt)}`]
  return element(
    'li',
    { ...(current && { 'data-current': '' }) },
    element('span', { class: 'text' }, browserOf(userAgent), current ? ' (this browser)' : ''),
    element('span', { class: 'detail' }, facts.filter(Boolean).join(' · ')),
    ...(current ? [] : [button]),
  )
}

function summaryOf(sessions) {
  const { endedByLimit } = sessions.find(({ current }) => current) ?? {}
  if (!endedByLimit) return sessions.length === 1 ? 'Only in this browser' : `In ${sessions.length} browsers`
  return `Your login ended the oldest session: ${browserOf(endedByLimit.userAgent)}, last used ${when(endedByLimit.lastUsedAt)}`
}

/** The list tells the others' pages by itself: they get `ended` on /bff/events. */
async function end(act) {
  await act().catch(() => {})
  await showSessions()
}

function browserOf(userAgent) {
  const name = /Firefox|Edg|Chrome|Safari|curl/.exec(userAgent ?? '')?.[0]?.replace('Edg', 'Edge')
  const system = /Windows|Android|iPhone|iPad|Mac OS X|Linux/.exec(userAgent ?? '')?.[0]
  if (!name) return userAgent ?? 'Unknown browser'
  return system ? `${name} on ${system}` : name
}

function when(time) {
  return time ? new Date(time).toLocaleString() : 'at an unknown time'
}
