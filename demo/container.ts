import Fastify from 'fastify'
import { clientFiles } from './client-files.ts'
import { audience } from './demo.ts'
import { startIssuer } from './issuer.ts'
import { startTimeApi } from './time-api.ts'

/**
 * The demo's issuer and API, and the client's files for its page, as a container of their own: compose.yaml runs it with
 * `--profile demo`. For trying things out only, on the machine of the browser: users and their passwords are known.
 */
const {
  PUBLIC_URL: publicUrl = 'http://localhost:8080',
  OIDC_CLIENT_SECRET: clientSecret = '',
  INTERNAL_URL: internalUrl = publicUrl,
  DEMO_IDP_PORT: issuerPort = '4000',
  DEMO_API_PORT: apiPort = '5000',
  DEMO_FILES_PORT: filesPort = '5001',
} = process.env
const host = '0.0.0.0'

const issuer = await startIssuer({
  host,
  port: Number(issuerPort),
  publicUrls: [publicUrl],
  apiAudience: audience,
  clientSecret,
  // The browser's address of the gateway leads nowhere from inside a container.
  clientMetadata: { backchannel_logout_uri: `${internalUrl}/bff/backchannel-logout` },
})
const timeApi = await startTimeApi({ host, port: Number(apiPort), issuer: issuer.issuer, audience })

const files = Fastify()
await files.register(clientFiles)
files.get('/local/greeting', async () => ({ greeting: 'Hello from another container' }))
await files.listen({ host, port: Number(filesPort) })

console.log(
  `The issuer is ${issuer.issuer}, the gateway ${publicUrl}: log in as alice or bob, the password is the same.`,
)

const end = async () => {
  await Promise.all([issuer.close(), timeApi.close(), files.close()])
  process.exit(0)
}
process.once('SIGINT', end).once('SIGTERM', end)
