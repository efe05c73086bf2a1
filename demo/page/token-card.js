import { find, setText } from './dom.js'

const card = {
  state: find('[data-token-state]'),
  seconds: find('[data-seconds-left]'),
  life: find('#token-life'),
  fill: find('[data-fill]'),
  threshold: find('[data-threshold]'),
  hint: find('[data-token-hint]'),
  renewals: find('[data-renewals]'),
}
const renewBeforeMs = Number(card.life.dataset.renewBefore) * 1000

const hints = {
  none: 'Log in with the button above. The demo’s users are alice and bob.',
  fresh: 'Calls use this token as it is. Keep calling, and watch it being renewed, in a second tab too.',
  due: 'The next call renews it.',
  expired: 'There was no call in time. The next call waits for a new token.',
}
const labels = { none: 'None', fresh: 'Fresh', due: 'Renewal due', expired: 'Expired' }

/** Shows the token's remaining lifetime. @param token undefined without a session */
export function showToken(token, now) {
  const lifeMs = token?.expiresAt ? token.expiresAt - token.startsAt : 0
  const leftMs = Math.max(0, (token?.expiresAt ?? 0) - now)
  const renewalMs = Math.min(renewBeforeMs, lifeMs / 2)
  const state = stateOf(token, leftMs, renewalMs)
  const seconds = Math.ceil(leftMs / 1000)

  card.life.dataset.state = state
  card.state.dataset.state = state
  setText(card.state, labels[state])
  setText(card.hint, hints[state])
  setText(card.seconds, token ? String(seconds) : '–')
  setText(card.renewals, String(token?.renewals ?? 0))
  card.fill.style.transform = `scaleX(${lifeMs > 0 ? Math.min(1, leftMs / lifeMs) : 0})`
  card.threshold.style.left = `${lifeMs > 0 ? (100 * renewalMs) / lifeMs : 50}%`
  card.threshold.hidden = !token
  card.life.setAttribute('aria-valuemax', String(Math.round(lifeMs / 1000) || 30))
  card.life.setAttribute('aria-valuenow', String(seconds))
  card.life.setAttribute('aria-valuetext', token ? `${seconds} seconds left` : 'No token')
}

function stateOf(token, leftMs, renewalMs) {
  if (!token) return 'none'
  if (leftMs === 0) return 'expired'
  return leftMs > renewalMs ? 'fresh' : 'due'
}
