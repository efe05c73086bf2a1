import { find, svgElement } from './dom.js'

const svg = find('#timeline')
const height = 190
const row = { axis: 16, tokens: [34, 72], tokenHeight: 30, calls: 140, callRadius: 5 }
const pastMs = 60_000
const futureMs = 30_000

/** What has happened, oldest first; times in milliseconds since the epoch. */
const tokens = []
const calls = []
let width = 0

/** Adds a token, shown from its start until it expires or the next one replaces it. */
export function addToken(token) {
  const current = tokens.at(-1)
  if (current && token.number > current.number) current.replacedAt = token.startsAt
  if (current?.number === token.number) Object.assign(current, token)
  else tokens.push({ ...token })
}

/** Ends the last token. */
export function endToken(now) {
  const current = tokens.at(-1)
  if (current) current.replacedAt ??= now
}

export function addCall(call) {
  calls.push(call)
}

export function clearTimeline() {
  tokens.length = 0
  calls.length = 0
}

/** Draws the last minute and the next half minute. */
export function drawTimeline(now) {
  if (width === 0) return
  const scale = scaleFor(now)
  forget(tokens, ({ expiresAt }) => (expiresAt ?? now) < scale.from - 5000)
  forget(calls, ({ at }) => at < scale.from - 5000)
  svg.replaceChildren(
    ...axis(scale),
    ...tokens.flatMap((token) => tokenShapes(token, scale, now)),
    ...calls.map((call) => callShape(call, scale)),
    ...nowLine(scale, now),
    label('lane-label', 0, row.axis + 12, 'tokens'),
    label('lane-label', 0, row.calls - 12, 'calls'),
  )
}

new ResizeObserver(([entry]) => {
  width = Math.round(entry.contentRect.width)
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`)
  drawTimeline(Date.now())
}).observe(svg)

function scaleFor(now) {
  const share = width < 560 ? 0.5 : 1
  const from = now - pastMs * share
  const to = now + futureMs * share
  return { from, to, x: (at) => ((at - from) / (to - from)) * width }
}

function axis({ from, to, x }) {
  const step = 10_000
  const times = []
  for (let at = Math.ceil(from / step) * step; at < to; at += step) times.push(at)
  return [
    ...times.map((at) => line('tick', x(at), row.axis + 8, height)),
    // Without labels that would be cut off at the edge, or cover a lane's name.
    ...times
      .filter((at) => x(at) > 48 && x(at) < width - 12)
      .map((at) =>
        label('tick-label', x(at), row.axis, `:${String(new Date(at).getSeconds()).padStart(2, '0')}`),
      ),
    svgElement('line', { class: 'lane', x1: 0, x2: width, y1: row.calls, y2: row.calls }),
  ]
}

/** Tokens alternate between two rows, to show that the next one begins before the last has expired. */
function tokenShapes({ number, startsAt, expiresAt, replacedAt }, { from, to, x }, now) {
  const y = row.tokens[number % 2]
  const end = expiresAt ?? to
  const usedUntil = Math.min(replacedAt ?? now, end)
  const start = Math.max(startsAt, from - 1000)
  const bar = (kind, begin, finish) =>
    svgElement('rect', {
      class: kind,
      x: x(begin),
      y,
      width: Math.max(0, x(finish) - x(begin)),
      height: row.tokenHeight,
      rx: 7,
    })
  const shapes = [
    bar(replacedAt < end ? 'token-spare' : 'token-left', start, end),
    bar('token-used', start, usedUntil),
  ]
  if (startsAt > from && number > 1)
    shapes.push(line('renewal-line', x(startsAt), row.axis + 8, row.calls + 22))
  // A label that does not fit into its bar is left out.
  if (x(usedUntil) - x(start) > 34) {
    shapes.push(label('token-label', Math.max(x(start), 0) + 9, y + row.tokenHeight / 2, `#${number}`))
  }
  return shapes
}

function callShape({ at, failed, remote }, { x }) {
  const cx = x(at)
  if (failed) {
    const r = row.callRadius
    const d = `M${cx - r} ${row.calls - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`
    return svgElement('path', { class: 'call-failed', d })
  }
  return svgElement('circle', {
    class: remote ? 'call-remote' : 'call-local',
    cx,
    cy: row.calls,
    r: row.callRadius,
  })
}

function nowLine({ x }, now) {
  return [line('now-line', x(now), row.axis + 8, height), label('now-label', x(now), height - 6, 'now', 8)]
}

function line(kind, x, from, to) {
  return svgElement('line', { class: kind, x1: x, x2: x, y1: from, y2: to })
}

function label(kind, x, y, text, shift = 0) {
  return svgElement('text', { class: kind, x: x + shift, y }, text)
}

function forget(list, isOld) {
  while (list.length > 0 && isOld(list[0])) list.shift()
}
