import { parseArgs } from 'node:util'
import { runFailover, startFailoverWorld, type TroubleName } from './failover-run.ts'

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
const users = Array.from({ length: Number(values.sessions) }, () => failover.world.signIn())
const sessions = await Promise.all(users)
const kinds = (values.trouble ? [values.trouble] : ['planned', 'killed', 'frozen']) as TroubleName[]
for (let run = 0; run < Number(values.runs); run++) {
  const kind = kinds[run % kinds.length] ?? 'planned'
  const result = await runFailover(failover, sessions, kind)
  console.log(`${run + 1} ${kind} ${JSON.stringify(result)}`)
  const isWell = Object.keys(result.failed).length === 0 && result.spentAgain === 0
  if (!isWell) process.exitCode = 1
}
await failover.close()
