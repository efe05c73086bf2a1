import { element, find, setText } from './dom.js'

const request = find('[data-request]')
const status = find('[data-response-status]')
const response = find('#response')
const announcement = find('#announcement')

/** Shows an answer in the pane, and a summary to screen readers. */
export function showAnswer(answer) {
  const word = answer.status === 0 ? 'no answer' : String(answer.status)
  const ms = `${Math.max(1, Math.round(answer.durationMs))} ms`
  setText(request, `GET ${answer.path} · ${ms}`)
  setText(status, word)
  status.dataset.state = answer.ok ? 'ok' : 'failed'
  status.hidden = false
  response.replaceChildren(...highlighted(JSON.stringify(answer.body, null, 2)))
  setText(announcement, `GET ${answer.path}: ${word}, after ${ms}`)
}

const jsonToken = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi

/** Coloured JSON, as nodes: text from the network is never parsed as markup. */
function highlighted(json) {
  const nodes = []
  let end = 0
  for (const match of json.matchAll(jsonToken)) {
    const [token, string, colon, word] = match
    const kind = string ? (colon ? 'key' : 'string') : word ? 'word' : 'number'
    nodes.push(json.slice(end, match.index), element('span', { class: kind }, string ?? token), colon ?? '')
    end = match.index + token.length
  }
  return [...nodes, json.slice(end)]
}
