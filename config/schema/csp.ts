const directives = new Set(
  'base-uri child-src connect-src default-src font-src form-action frame-ancestors frame-src img-src manifest-src media-src object-src report-to report-uri require-trusted-types-for sandbox script-src script-src-attr script-src-elem style-src style-src-attr style-src-elem trusted-types upgrade-insecure-requests worker-src'.split(
    ' ',
  ),
)

/** Directives that may have no value. */
const withoutValue = new Set(['sandbox', 'trusted-types', 'upgrade-insecure-requests'])

const keyword =
  /^(self|none|unsafe-\w+|wasm-unsafe-eval|strict-dynamic|report-sample|inline-speculation-rules|nonce-.*|sha(256|384|512)-.*)$/

/**
 * One directive of a Content-Security-Policy that widens another policy, with single spaces.
 * @see https://www.w3.org/TR/CSP3/#framework-directives
 */
export function cspDirective(text: string): string {
  const [name = '', ...sources] = text.trim().split(/\s+/)
  if (!directives.has(name)) {
    throw new TypeError('must begin with the name of a directive, such as img-src, in lower case')
  }
  if (sources.length === 0 && !withoutValue.has(name))
    throw new TypeError('must have sources after its name: img-src https://images.example.com')
  // A comma would begin another policy.
  if (!/^[\x21-\x2b\x2d-\x3a\x3c-\x7e ]*$/.test(sources.join(' ')))
    throw new TypeError('must have sources of ASCII characters, without commas')
  if (sources.some((source) => keyword.test(source))) {
    throw new TypeError("must have keywords and hashes in single quotes: 'self', 'wasm-unsafe-eval'")
  }
  if (sources.includes("'none'")) {
    throw new TypeError(
      "can't be 'none', as it only widens: to restrict a page, put a <meta http-equiv=\"Content-Security-Policy\"> into it",
    )
  }
  return [name, ...sources].join(' ')
}
