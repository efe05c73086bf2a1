/** The element for a selector. Throws if the page has none. */
export function find(selector) {
  const element = document.querySelector(selector)
  if (!element) throw new Error(`The page has no ${selector}`)
  return element
}

/** Changes only text that differs: unchanged text stays selected, and is not read out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children)
}

export function svgElement(name, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children)
}

export function timeOfDay(ms) {
  return new Date(ms).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  })
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value))
  node.append(...children)
  return node
}
