import { deflateRawSync, inflateRawSync } from 'node:zlib'

/**
 * Compresses JSON. Most of a session is JWTs, which hardly compress as base64url. So the header and payload of each JWT
 * are written as plain JSON, which repeats the claims of the record; the signatures, which are random, follow after the
 * text. Then everything is deflated, with a dictionary of strings that most records contain.
 */
export function pack(value: unknown): Buffer {
  const signatures: Buffer[] = []
  const text = JSON.stringify(value).replace(jwtInJson, (jwt, ...groups: string[]) => {
    const [header, payload, signature] = [decoded(groups[0]), decoded(groups[1]), decoded(groups[2])]
    const [headerText, payloadText] = [header.toString(), payload.toString()]
    const isReversible = jwtOf(headerText, payloadText, signature) === jwt
    if (!isReversible || controlCharacter.test(headerText + payloadText)) return jwt
    signatures.push(signature)
    return [mark, headerText, mark, payloadText, mark, signature.length, mark].join('')
  })
  return deflateRawSync(Buffer.concat([Buffer.from(text + end), ...signatures]), { dictionary })
}

/** @throws when the bytes were not packed by {@link pack} */
export function unpack(packed: Buffer): unknown {
  const bytes = inflateRawSync(packed, { dictionary })
  const endOfText = bytes.indexOf(end)
  let position = endOfText + end.length
  const text = bytes
    .toString('utf8', 0, endOfText)
    .replace(unfoldedJwt, (_unfolded, header: string, payload: string, length: string) => {
      const signature = bytes.subarray(position, position + Number(length))
      position += signature.length
      return jwtOf(header, payload, signature)
    })
  return JSON.parse(text)
}

function jwtOf(header: string, payload: string, signature: Buffer): string {
  return `"${encoded(header)}.${encoded(payload)}.${signature.toString('base64url')}"`
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64url')
}

function decoded(part = ''): Buffer {
  return Buffer.from(part, 'base64url')
}

// JSON text contains no raw control characters, because it escapes them. But a token's content need not be JSON.
const controlCharacter = /\p{Cc}/u
const mark = '\u0001'
const end = '\u0000'

/** Starts with a quotation mark, so that matching a long, crafted claim takes linear time only. */
const jwtInJson = /"(eyJ[\w-]*)\.(eyJ[\w-]*)\.([\w-]*)"/g
const unfoldedJwt = new RegExp(`${mark}([^${mark}]*)${mark}([^${mark}]*)${mark}(\\d+)${mark}`, 'g')

/** Part of the format: a change makes stored records unreadable. The most frequent strings are at the end. */
const dictionary = Buffer.from(
  [
    '"Mozilla/5.0 (iPhone; CPU iPhone OS like Mac OS X) Version/ Mobile/15E148 (Macintosh; Intel Mac OS X 10_15_7) Gecko/20100101 ',
    'Firefox/(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1.0.0.0 Safari/537.36","address":"',
    '{"kty":"RSA","n":"","e":"AQAB"}{"kty":"EC","crv":"P-256","x":"","y":"","d":"","userAgent":"","lastUsedAt":17',
    '"apiTokens":{"exchange audience=scope=resource=https%3A%2F%2F","address":{"phone_number_verified":false,"updated_at":',
    '"resource_access":{"account":{"roles":["manage-account","view-profile"]}},"realm_access":{"roles":["offline_access",',
    '"uma_authorization","default-roles-"]},"allowed-origins":["https://","client_id":"groups":["amr":["pwd","mfa"]',
    '"picture":"https://","locale":"en","zoneinfo":"email":"@example.com","family_name":"given_name":"preferred_username":"',
    '"name":"email_verified":true,"at_hash":"nonce":"auth_time":17"azp":"aud":["typ":"Refresh","typ":"Bearer","typ":"ID",',
    '{"alg":"ES256",{"alg":"PS256",{"alg":"RS256","typ":"at+jwt","kid":"{"alg":"RS256","typ":"JWT","kid":"{"exp":17,"iat":17,',
    '"jti":"scope":"openid profile email offline_access","sid":"acr":"1","sub":"iss":"https://login.',
    '{"issuer":"https://","subject":"","sid":"","claims":{"sub":"","sessionState":"","tokenSet":{"accessToken":"',
    '","tokenType":"bearer","obtainedAt":17,"expiresAt":17,"scope":"openid profile email","refreshToken":"","idToken":"',
    '"},"createdAt":17,"renewals":,"renewedAt":17',
  ].join(''),
)
