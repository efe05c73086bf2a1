import { element, find, timeOfDay } from './dom.js'

const list = find('#events')
const kept = 80

/** Adds an event at the top. @param kind `call`, `renewal` or `session` */
export function listEvent({ kind, at, text, detail = '', failed = false }) {
  const item = element(
    'li',
    { 'data-event': kind, ...(failed && { 'data-failed': '' }) },
    element('time', { datetime: new Date(at).toISOString() }, timeOfDay(at)),
    element('span', { class: 'text' }, text),
    element('span', { class: 'detail' }, detail),
  )
  list.prepend(item)
  while (list.children.length > kept) list.lastElementChild.remove()
}
