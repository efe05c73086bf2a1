import { escapeHtml, hashSource } from '../../http/html.ts'

const script = 'document.forms[0].submit()'

interface Form {
  title: string
  /** Where it is posted to. */
  action: string
  fields: Iterable<[name: string, value: string]>
  /** Label of the button for browsers without scripts. */
  button: string
}

/** A page that posts a form at once. */
export function selfSubmittingForm({ title, action, fields, button }: Form): string {
  const inputs = [...fields].map(
    ([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">\n`,
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<form method="post" action="${escapeHtml(action)}">
${inputs.join('')}<noscript><button>${button}</button></noscript>
</form>
<script>${script}</script>
</html>
`
}

/** No `form-action`: browsers apply it to redirects after the form too, and those may lead to other hosts. */
export function selfSubmittingFormHeaders(frameAncestors: string) {
  return {
    'content-security-policy': `default-src 'none';script-src ${hashSource(script)};base-uri 'none';frame-ancestors ${frameAncestors}`,
    'content-type': 'text/html; charset=utf-8',
    // With `same-origin`, a form to another origin would be sent with `Origin: null`, which issuers may refuse.
    'referrer-policy': 'strict-origin',
  }
}
