import { basePath } from '../../../config/index.ts'

/** Paths below `/bff` that need no proof: they begin and end sessions, or are the binding's own. */
const excludedEndpoints = [
  'login',
  'callback',
  'silent-login',
  'logout',
  'logout-callback',
  'frontchannel-logout',
  'device-bound',
]

export interface InstructionsOptions {
  publicUrl: URL
  cookieName: string
  /** As in `Set-Cookie`, without the lifetime. */
  cookieAttributes: string
  /** Hosts of other sites whose pages may make the browser refresh. */
  refreshInitiators: string[]
}

/**
 * The session instructions for a browser: which requests need the proof cookie, and where to get a new one. The later of
 * two matching rules applies.
 *
 * @see https://w3c.github.io/webappsec-dbsc/#format-session-instructions
 */
export function sessionInstructions(
  { publicUrl, cookieName, cookieAttributes, refreshInitiators }: InstructionsOptions,
  sessionId: string,
) {
  const base = basePath(publicUrl)
  const rule = (type: 'include' | 'exclude', path: string) => ({ type, domain: publicUrl.hostname, path })
  const excluded = excludedEndpoints.map((endpoint) => rule('exclude', `${base}/bff/${endpoint}`))
  // Another gateway may serve the rest of this origin.
  const ownPaths = base === '' ? [] : [rule('exclude', '/'), rule('include', base)]
  return {
    session_identifier: sessionId,
    refresh_url: `${base}${refreshPath}`,
    scope: {
      origin: publicUrl.origin,
      include_site: false,
      scope_specification: [...ownPaths, ...excluded],
    },
    credentials: [{ type: 'cookie', name: cookieName, attributes: cookieAttributes }],
    ...(refreshInitiators.length > 0 && { allowed_refresh_initiators: refreshInitiators }),
  }
}

export const registrationPath = '/bff/device-bound/register'
export const refreshPath = '/bff/device-bound/refresh'
