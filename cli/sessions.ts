import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { AdminApi, AdminApiError, type Listed } from './admin-api.ts'

const usage = `Usage: fastify-bff sessions --sub SUBJECT [--iss ISSUER] [--end] [--json]
       fastify-bff sessions --id ID --end
       fastify-bff sessions --end-all --yes

Lists and ends sessions of users, over the administrator's API of a running gateway: ADMIN_HOST, ADMIN_PORT and
ADMIN_TOKEN (or ADMIN_TOKEN_FILE) as the gateway has them.

  --sub SUBJECT   the user, by the issuer's "sub"
  --iss ISSUER    of an issuer with several tenants, the user's
  --id ID         a session, by its identifier in the list
  --end           end these sessions
  --end-all       end the sessions of all users; needs --yes
  --url URL       of the administrator's API, such as http://127.0.0.1:9091
  --json          print what the API answers`

const options = {
  sub: { type: 'string' },
  iss: { type: 'string' },
  id: { type: 'string' },
  end: { type: 'boolean', default: false },
  'end-all': { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
  url: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

export interface Output {
  out(text: string): void
  err(text: string): void
}

/**
 * `fastify-bff sessions`.
 * @returns the exit code: 0 when done, 1 when it failed, 2 for wrong arguments
 */
export async function sessionsCommand(
  args: string[],
  environment: Record<string, string | undefined>,
  { out, err }: Output,
): Promise<0 | 1 | 2> {
  try {
    const { values } = parseArgs({ args, options })
    if (values.help) {
      out(usage)
      return 0
    }
    const act = actionOf(values)
    const { json, text } = await act(apiOf(values, environment))
    out(values.json ? JSON.stringify(json, null, 2) : text)
    return 0
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const isFailure = error instanceof AdminApiError
    err(isFailure ? message : `${message}\n\n${usage}`)
    return isFailure ? 1 : 2
  }
}

interface Result {
  json: unknown
  text: string
}

function actionOf({ sub, iss, id, end, 'end-all': endAll, yes }: Values): (api: AdminApi) => Promise<Result> {
  const ways = [sub !== undefined, id !== undefined, endAll].filter(Boolean)
  if (ways.length !== 1) throw new TypeError('Name a user by --sub, a session by --id, or all by --end-all')
  if (endAll) {
    if (!yes) throw new TypeError('--end-all ends the sessions of all users: confirm it by --yes')
    return async (api) => ended(await api.endAll())
  }
  if (id !== undefined) {
    if (!end) throw new TypeError('--id needs --end')
    return async (api) => {
      await api.endOne(id)
      return ended({ ended: 1 })
    }
  }
  const user = { sub: sub ?? '', ...(iss !== undefined && { iss }) }
  if (end) return async (api) => ended(await api.endUser(user))
  return async (api) => {
    const sessions = await api.list(user)
    return { json: sessions, text: table(sessions) }
  }
}

function ended(json: { ended: number }): Result {
  return { json, text: json.ended === 1 ? '1 session ended' : `${json.ended} sessions ended` }
}

function apiOf({ url }: Values, environment: Record<string, string | undefined>): AdminApi {
  const {
    ADMIN_HOST: host = '127.0.0.1',
    ADMIN_PORT: port,
    ADMIN_TOKEN,
    ADMIN_TOKEN_FILE: file,
  } = environment
  const token = ADMIN_TOKEN || (file && readFileSync(file, 'utf8').trim())
  if (!token) throw new TypeError('ADMIN_TOKEN is not set')
  if (url === undefined && !port) throw new TypeError('ADMIN_PORT is not set: set it, or name the --url')
  const base = url ?? `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  if (!/^https?:/.test(base) || !URL.canParse(base))
    throw new TypeError('--url must begin with http: or https:')
  return new AdminApi(new URL(base), token)
}

function table(sessions: Listed[]): string {
  if (sessions.length === 0) return 'The user has no sessions'
  return sessions
    .map(({ id, createdAt, lastUsedAt, userAgent, address, bound, frontend }) =>
      [
        id,
        `  last used ${lastUsedAt ?? 'at an unknown time'}, from ${address ?? 'an unknown address'}`,
        `  began     ${createdAt ?? 'at an unknown time'}${bound ? ', bound to a device' : ''}`,
        `  browser   ${printable(userAgent ?? 'unknown')}`,
        ...(frontend ? [`  at        ${frontend}`] : []),
      ].join('\n'),
    )
    .join('\n')
}

/** A user agent is the browser's own text, which could control the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?')
}
