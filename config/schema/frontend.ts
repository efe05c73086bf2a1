import { z } from 'zod'
import { cspDirective } from './csp.ts'
import { facts, list, parsed } from './option.ts'
import { color, customHeader, displayName, exposedHeader, path } from './parsers.ts'
import { baseUrl, origin, url } from './urls.ts'

/** The frontend, and what its pages and those of other origins may do. */
export const frontendShape = {
  staticDir: parsed(path).optional().register(facts, {
    env: 'STATIC_DIR',
    file: 'path',
    meaning: 'Folder with the built frontend, served with SPA fallback to `index.html`',
  }),
  frontendUrl: url(baseUrl('http://localhost:5173')).optional().register(facts, {
    env: 'FRONTEND_URL',
    meaning:
      "The frontend's development server, such as Vite's, instead of `{staticDir}`: every path that is not the gateway's own comes from there, hot reload included. Plain http on loopback hosts only",
  }),
  frontendCaFile: parsed(path).optional().register(facts, {
    env: 'FRONTEND_CA_FILE',
    file: 'path',
    meaning:
      "PEM file with the certificates to trust instead of the system's, for a development server with a certificate of its own",
  }),
  frontendName: parsed(displayName).optional().register(facts, {
    env: 'FRONTEND_NAME',
    meaning: "Name of the application, shown on the gateway's error pages",
  }),
  frontendColor: parsed(color).optional().register(facts, {
    env: 'FRONTEND_COLOR',
    meaning: 'Colour of these pages, as `#rrggbb`',
  }),
  requireLogin: z.boolean('must be one of true, false').prefault(false).register(facts, {
    env: 'REQUIRE_LOGIN',
    meaning:
      '`true`: the frontend is for signed-in users only. Without a session, a page redirects to the login and back, and assets return 401',
  }),
  frontendCsp: list(z.array(parsed(cspDirective)), { separator: ';' })
    .prefault('')
    .register(facts, {
      env: 'FRONTEND_CSP',
      meaning:
        'Directives that widen the Content-Security-Policy of pages from `{staticDir}`, separated by semicolons: `connect-src https://o1.ingest.sentry.io; worker-src blob:`. Inline scripts and event handlers of a page are allowed by their hashes',
    }),
  corsOrigins: list(z.array(parsed(origin)))
    .prefault('')
    .register(facts, {
      env: 'CORS_ORIGINS',
      meaning:
        'Comma-separated exact origins allowed with credentials; `returnUrl` of login and logout may lead there too',
    }),
  corsExposedHeaders: list(z.array(parsed(exposedHeader)))
    .prefault('')
    .register(facts, {
      env: 'CORS_EXPOSED_HEADERS',
      meaning:
        'Comma-separated response headers that scripts of those origins may read, besides `BFF-Login-URL`, `Retry-After` and `WWW-Authenticate`',
    }),
  csrfHeader: parsed(customHeader).prefault('x-csrf').register(facts, {
    env: 'CSRF_HEADER',
    meaning: 'Header that `/api` and the session endpoints demand with value `1`',
  }),
}
