import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { asQueryValue } from '../../../http/path.ts'
import { GatewayError } from '../../errors/catalogue.ts'
import { localPath } from '../return-url.ts'
import { decideAdmission, isNavigation, type Visit } from './admission.ts'
import {
  afterLogin,
  afterReentry,
  formatRounds,
  type LoginRounds,
  readRounds,
  roundsCookieName,
  roundsLifetimeSeconds,
} from './login-rounds.ts'
import { reentryHeaders, reentryPage } from './reentry-page.ts'

declare module 'fastify' {
  interface FastifyInstance {
    loginGate: {
      /** An onRequest hook for pages for signed-in users only: redirects others to the login. */
      admit(request: FastifyRequest, reply: FastifyReply): Promise<unknown>
      /** Counts a finished login, to detect a login loop. */
      loginFinished(request: FastifyRequest, reply: FastifyReply): void
    }
  }
}

export interface LoginGateOptions {
  /** The gateway's URL as browsers see it. */
  publicUrl: URL
  /** Path of `publicUrl`, without a trailing slash. */
  basePath: string
  /** Name of the session cookie. */
  sessionCookie: string
  sameSite: 'strict' | 'lax' | 'none'
}

export default fp<LoginGateOptions>(
  async (app, { publicUrl, basePath, sessionCookie, sameSite }) => {
    const roundsCookie = roundsCookieName(sessionCookie)
    // Lax: it must be sent also when a Strict session cookie is not.
    const attributes = {
      path: '/',
      httpOnly: true,
      secure: publicUrl.protocol === 'https:',
      sameSite: 'lax',
    } as const

    app.decorate('loginGate', {
      async admit(request, reply) {
        const unproven = await app.loadSession(request).then(() => undefined, ifNotBound)
        // A login would not bind it either, and would be repeated each minute.
        if (unproven && !(await isBound(request))) throw unproven
        const visit = visitOf(request, unproven !== undefined)
        const { rounds } = visit
        switch (decideAdmission(visit, sameSite === 'strict')) {
          case 'admit':
            if (rounds && isNavigation(visit)) reply.clearCookie(roundsCookie, attributes)
            return
          case 'refuse':
            throw unproven ?? new GatewayError('BFF_SESSION_REQUIRED')
          case 're-enter':
            setRounds(reply, afterReentry(rounds))
            return reply.headers(reentryHeaders).send(reentryPage)
          case 'log-in':
            return reply.header('cache-control', 'no-store').redirect(loginUrl(request))
          case 'stop':
            request.log.warn({ event: 'login.loop', hasSessionCookie: visit.hasSessionCookie })
            throw new GatewayError('BFF_LOGIN_LOOP')
        }
      },

      loginFinished(request, reply) {
        setRounds(reply, afterLogin(readRounds(request.cookies[roundsCookie])))
      },
    } satisfies (typeof app)['loginGate'])

    function visitOf({ method, headers, session, cookies }: FastifyRequest, isUnproven: boolean): Visit {
      return {
        method,
        accept: headers.accept,
        secFetchMode: asText(headers['sec-fetch-mode']),
        secFetchSite: asText(headers['sec-fetch-site']),
        hasSession: session !== null,
        hasSessionCookie: cookies[sessionCookie] !== undefined,
        isUnproven,
        rounds: readRounds(cookies[roundsCookie]),
      }
    }

    async function isBound(request: FastifyRequest): Promise<boolean> {
      const session = await app.findSession(request, { slide: false, proof: 'optional' })
      return session?.record.device !== undefined
    }

    function setRounds(reply: FastifyReply, rounds: LoginRounds): void {
      reply.setCookie(roundsCookie, formatRounds(rounds), { ...attributes, maxAge: roundsLifetimeSeconds })
    }

    /** With the current URL as `returnUrl`, unless it is too long or not allowed as one. */
    function loginUrl({ originalUrl }: FastifyRequest): string {
      // A reverse proxy may have removed the base path.
      const path = originalUrl.startsWith(`${basePath}/`) ? originalUrl : basePath + originalUrl
      const returnUrl = localPath(path, publicUrl.origin) ?? `${basePath}/`
      return `${basePath}/bff/login?returnUrl=${asQueryValue(returnUrl)}`
    }
  },
  { name: 'login-gate', fastify: '5.x', dependencies: ['session-cookie', 'oidc-session'] },
)

/** @returns the error of a request without the proof that its session needs */
function ifNotBound(error: unknown): GatewayError {
  if (error instanceof GatewayError && error.code === 'BFF_SESSION_NOT_BOUND') return error
  throw error
}

function asText(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}
