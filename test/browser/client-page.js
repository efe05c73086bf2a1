import { createBffClient } from '../../client/index.ts'

const seen = []
const required = []
const client = createBffClient({ onLoginRequired: (url) => required.push(url) })
const remove = client.onSession(({ isAuthenticated, accessToken, reason }, event) =>
  seen.push({ event, isAuthenticated, renewals: accessToken?.renewals, reason }),
)
const connectTo = (url) => createBffClient({ url })
Object.assign(window, { client, connectTo, seen, required, remove })
