export interface Page {
  status: number
  html: string
}

export interface LoginPage {
  /** Target of the form. */
  action: string
  username: string
  /** The name or password was wrong. */
  failed: boolean
}

export function loginPage({ action, username, failed }: LoginPage): Page {
  const error = failed
    ? '<p class="error" id="error" role="alert">That name and password don’t belong together.</p>'
    : ''
  const invalid = failed ? ' aria-invalid="true" aria-describedby="error"' : ''
  return page(
    failed ? 400 : 200,
    'Sign in',
    `<h1>Sign in</h1>
    <p class="lead">to the fastify-bff demo</p>
    ${error}
    <form method="post" action="${escapeHtml(action)}">
      <label for="username">Name</label>
      <input id="username" name="username" autocomplete="username" autocapitalize="none" spellcheck="false"
        required${invalid} value="${escapeHtml(username)}"${username ? '' : ' autofocus'}>
      <label for="password">Password</label>
      <input id="password" name="password" type="password" autocomplete="current-password"
        required${invalid}${username ? ' autofocus' : ''}>
      <button type="submit">Sign in</button>
      <button type="submit" class="quiet" name="cancel" value="1" formnovalidate>Cancel</button>
    </form>
    <p class="hint">Demo users are <kbd>alice</kbd> and <kbd>bob</kbd>.<br>The password is the same as the name.</p>`,
  )
}

/** Submits itself. @param form the provider's, with its protection against forgery */
export function signOutPage(form: string): Page {
  const confirmed = form.replace(
    '</form>',
    '<input type="hidden" name="logout" value="yes"><noscript><button type="submit">Sign out</button></noscript></form>',
  )
  return page(
    200,
    'Signing out',
    `<h1>Signing out…</h1>${confirmed}<script src="/assets/submit.js" defer></script>`,
  )
}

export function signedOutPage(): Page {
  return page(200, 'Signed out', '<h1>Signed out</h1><p class="lead">You can close this page.</p>')
}

export function errorPage(code: string, description = ''): Page {
  return page(
    400,
    'Sign-in failed',
    `<h1>Sign-in failed</h1>
    <p class="lead">${escapeHtml(description)}</p>
    <p class="hint">Go back to the application and start again. <code>${escapeHtml(code)}</code></p>`,
  )
}

function page(status: number, title: string, main: string): Page {
  const html = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${title} · demo identity provider</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/assets/issuer.css">
  </head>
  <body>
    <main>
      <p class="brand"><span class="mark" aria-hidden="true"></span>Demo identity provider</p>
      ${main}
    </main>
  </body>
</html>
`
  return { status, html }
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`)
}
