/** A page as that of Duende's SplitHosts sample: on another origin than the gateway, without a library. */
export function splitHostsPage(gateway: string, origin: string): string {
  return `<!doctype html><meta charset="utf-8"><title>Todos</title><link rel="icon" href="data:,">
<a id="login" href="${gateway}/bff/login?returnUrl=${origin}">Login</a>
<a id="logout" href="${gateway}/bff/logout?returnUrl=${origin}">Logout</a>
<p id="user"></p>
<script>
const options = (method) => ({
  method,
  credentials: 'include',
  headers: { 'x-csrf': '1', ...(method !== 'GET' && { 'content-type': 'application/json' }) },
  ...(method === 'POST' && { body: '{"name":"Do something"}' }),
})
const todos = (method) => fetch('${gateway}/api/todos', options(method)).then(({ status }) => status)
fetch('${gateway}/bff/user', options('GET')).then(async (answer) => {
  if (!answer.ok) return (document.querySelector('#user').textContent = 'Not signed in')
  const claims = await answer.json()
  const value = (name) => claims.find(({ type }) => type === name).value
  document.querySelector('#user').textContent = value('name')
  document.querySelector('#logout').href = '${gateway}' + value('bff:logout_url') + '&returnUrl=${origin}'
})
</script>`
}
