import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startGateway } from '../support/gateway-process.ts'
import { runFailover, startFailoverWorld, type Topology } from './failover-run.ts'
import { type SignedIn, startWorldOf } from './process-world.ts'

/** Half the lifetime of an access token. */
const renewedEveryMs = 6_000

/**
 * `npm run chaos -- --runs 10`: failures of Redis under load, one after the other.
 *
 *   --topology sentinel|cluster|single  default sentinel
 *   --trouble planned|killed|frozen     default: all of the topology, in turn. A Cluster can also be `resharded`;
 *                                       a single Redis `restarted`, `killed` or `paused`
 *   --sessions N                        default 50
 *   --clients N, --pause MS             clients per session, default 3; pause between their requests, default 15
 */
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10' },
    sessions: { type: 'string', default: '50' },
    topology: { type: 'string', default: 'sentinel' },
    trouble: { type: 'string' },
    clients: { type: 'string', default: '3' },
    pause: { type: 'string', default: '15' },
  },
})

// Each Redis adds one, so that it ends with this process.
process.setMaxListeners(20)

const failover = await startFailoverWorld(
  (options) => startWorldOf(startGateway, options),
  values.topology as Topology,
)
const count = Number(values.sessions)
const pace = { clientsPerSession: Number(values.clients), requestEveryMs: Number(values.pause) }
const sessions: SignedIn[] = []
// Spread over the time between two renewals, so that some renew just when the failure starts.
for (let user = 0; user < count; user++) {
  sessions.push(await failover.world.signIn())
  await wait(renewedEveryMs / count)
}
const kinds = values.trouble ? [values.trouble] : Object.keys(failover.troubles)
for (let run = 0; run < Number(values.runs); run++) {
  const kind = kinds[run % kinds.length] ?? 'planned'
  const result = await runFailover(failover, sessions, kind, pace)
  console.log(`${run + 1} ${kind} ${JSON.stringify(result)}`)
  const isWell = Object.keys(result.failed).length === 0 && result.spentAgain === 0
  if (!isWell) process.exitCode = 1
}
await failover.close()
