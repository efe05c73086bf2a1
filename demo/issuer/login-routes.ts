import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import type Provider from 'oidc-provider'
import { errorPage, loginPage, type Page } from './pages.ts'
import { isPasswordOf } from './users.ts'

const assets = new Map([
  ['/assets/issuer.css', 'text/css; charset=utf-8'],
  ['/assets/submit.js', 'text/javascript; charset=utf-8'],
])

/** Answers the issuer's pages. @returns false for requests that the provider handles itself */
export async function answerLoginRoutes(
  provider: Provider,
  securityHeaders: () => Record<string, string>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const path = request.url?.split('?')[0] ?? '/'
  const contentType = assets.get(path)
  if (contentType !== undefined) {
    const file = await readFile(new URL(`.${path.slice('/assets'.length)}`, import.meta.url))
    response.writeHead(200, { 'content-type': contentType }).end(file)
    return true
  }
  if (!path.startsWith('/interaction/')) return false

  const page = await interact(provider, path, request, response)
  if (page) {
    const headers = { ...securityHeaders(), 'content-type': 'text/html; charset=utf-8' }
    response.writeHead(page.status, headers).end(page.html)
  }
  return true
}

/** @returns nothing when the browser has been sent on */
async function interact(
  provider: Provider,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Page | undefined> {
  const interaction = await provider.interactionDetails(request, response).catch(() => undefined)
  if (!interaction || path !== `/interaction/${interaction.uid}`) {
    return errorPage('session_not_found', 'This sign-in has expired, or was begun in another browser.')
  }
  const { prompt, params } = interaction
  if (prompt.name !== 'login') {
    // prompt=consent: everything has been granted already.
    await provider.interactionFinished(request, response, { consent: {} }, { mergeWithLastSubmission: true })
    return undefined
  }
  if (request.method !== 'POST') {
    return loginPage({ action: path, username: String(params['login_hint'] ?? ''), failed: false })
  }

  const form = new URLSearchParams(await text(request))
  const username = (form.get('username') ?? '').trim().toLowerCase()
  if (form.has('cancel')) {
    const refusal = { error: 'access_denied', error_description: 'The user cancelled the sign-in' }
    await provider.interactionFinished(request, response, refusal)
    return undefined
  }
  if (!isPasswordOf(username, form.get('password') ?? '')) {
    return loginPage({ action: path, username, failed: true })
  }
  await provider.interactionFinished(request, response, { login: { accountId: username, amr: ['pwd'] } })
  return undefined
}
