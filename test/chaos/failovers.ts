import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { runFailover, startFailoverWorld, type TroubleName } from './failover-run.ts'
import type { SignedIn } from './world.ts'

/** Half the lifetime of an access token. */
const renewedEveryMs = 6_000

/**
 * `npm run chaos -- --runs 10`: failovers of a Sentinel set under load, one after the other.
 *
 *   --trouble planned|killed|frozen   default: all, in turn
 *   --sessions N                      default 50
 */
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10' },
    sessions: { type: 'string', default: '50' },
    trouble: { type: 'string' },
  },
})

const failover = await startFailoverWorld()
const count = Number(values.sessions)
const sessions: SignedIn[] = []
// Spread over the time between two renewals, so that some renew just when the failover happens.
for (let user = 0; user < count; user++) {
  sessions.push(await failover.world.signIn())
  await wait(renewedEveryMs / count)
}
const kinds = (values.trouble ? [values.trouble] : ['planned', 'killed', 'frozen']) as TroubleName[]
for (let run = 0; run < Number(values.runs); run++) {
  const kind = kinds[run % kinds.length] ?? 'planned'
  const result = await runFailover(failover, sessions, kind)
  console.log(`${run + 1} ${kind} ${JSON.stringify(result)}`)
  const isWell = Object.keys(result.failed).length === 0 && result.spentAgain === 0
  if (!isWell) process.exitCode = 1
}
await failover.close()
