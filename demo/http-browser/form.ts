export interface Form {
  action: string
  /** Hidden inputs with their values. */
  hidden: Record<string, string>
  asksPassword: boolean
}

/** The first form of a page. Parses only the simple HTML of this demo's issuer. */
export function formOf(html: string): Form | undefined {
  const [form, attributes = ''] = /<form\b([^>]*)>.*?<\/form>/s.exec(html) ?? []
  if (form === undefined) return undefined
  const inputs = [...form.matchAll(/<input\b([^>]*)>/g)].map(([, input = '']) => input)
  const hidden = inputs
    .filter((input) => attribute(input, 'type') === 'hidden')
    .map((input) => [attribute(input, 'name') ?? '', attribute(input, 'value') ?? ''])
  return {
    action: attribute(attributes, 'action') ?? '',
    hidden: Object.fromEntries(hidden),
    asksPassword: inputs.some((input) => attribute(input, 'type') === 'password'),
  }
}

function attribute(tag: string, name: string): string | undefined {
  const value = new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1]
  return value
    ?.replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replace(/&amp;/g, '&')
}
