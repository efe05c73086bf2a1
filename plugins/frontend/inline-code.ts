import { type DefaultTreeAdapterTypes, defaultTreeAdapter, parse } from 'parse5'
import { hashSource } from '../../http/html.ts'

/** Sources for a Content-Security-Policy that allow the code in a page, and no other. */
export interface InlineCode {
  /** Of inline scripts, for `script-src`. */
  scripts: string[]
  /** Of event handlers in attributes, for `script-src-attr`. They also need `'unsafe-hashes'`. */
  handlers: string[]
}

/** The code that stands in a page itself. Styles are allowed anyway. */
export function inlineCode(page: string): InlineCode {
  const scripts = new Set<string>()
  const handlers = new Set<string>()
  for (const element of elementsOf(parse(page))) {
    const attributes = new Map(element.attrs.map(({ name, value }) => [name, value]))
    for (const [name, value] of attributes) if (/^on[a-z]/.test(name)) handlers.add(hashSource(value))
    if (element.tagName !== 'script' || attributes.has('src') || !isCode(attributes.get('type'))) continue
    scripts.add(hashSource(textOf(element)))
  }
  return { scripts: [...scripts], handlers: [...handlers] }
}

function* elementsOf(node: DefaultTreeAdapterTypes.Node): Generator<DefaultTreeAdapterTypes.Element> {
  if (defaultTreeAdapter.isElementNode(node)) yield node
  // A template's content is not among its child nodes.
  if ('content' in node) yield* elementsOf(node.content)
  if ('childNodes' in node) for (const child of node.childNodes) yield* elementsOf(child)
}

function textOf({ childNodes }: DefaultTreeAdapterTypes.Element): string {
  return childNodes.map((node) => ('value' in node ? node.value : '')).join('')
}

/** False for data blocks, such as JSON or a template. @see https://html.spec.whatwg.org/multipage/scripting.html#attr-script-type */
function isCode(type = ''): boolean {
  const isJavaScript = type === '' || /^\s*(text|application)\/(x-)?(java|ecma)script\s*$/i.test(type)
  return isJavaScript || /^(module|importmap|speculationrules)$/i.test(type.trim())
}
