import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accessToken, createWorld, isSettled, issuerTimeoutMs, settle } from './support.ts'

const unusable = 4_000

test('a lock that is released while another gateway asks for it is noticed without polling', async () => {
  const { startGateway, signIn, logger, memory, interceptStore, mendStore } = createWorld()
  const session = await signIn(unusable)
  const elsewhere = await memory.lock(session.id, 3 * issuerTimeoutMs)
  assert.ok(elsewhere.outcome === 'acquired')
  interceptStore('lock', async (run) => {
    mendStore('lock')
    const held = await run()
    // While its answer is on its way.
    await elsewhere.lock.release()
    return held
  })
  const here = startGateway().withUsableToken(session, logger)

  assert.equal(await isSettled(here), true)
  assert.equal(accessToken(await here), 'access-1')
})

/** A renewal whose tokens can not be stored for a while. @returns how often its lock was extended */
async function extensions(outageMs: number, answersExtensions: boolean): Promise<number> {
  const { startGateway, signIn, logger, sessions, clock, breakStore, mendStore, interceptStore } =
    createWorld()
  const session = await signIn(unusable)
  let times = 0
  interceptStore('extend', (run) => {
    times++
    return answersExtensions ? run() : Promise.reject(new Error('on purpose'))
  })
  if (outageMs > 0) breakStore('replace')
  const renewer = startGateway()
  renewer.withUsableToken(session, logger).catch(() => {})
  for (let seconds = 0; seconds < outageMs / 1_000; seconds++) {
    await settle()
    await clock.advance(1_000)
  }
  mendStore('replace')
  await settle()
  await clock.advance(1_000)
  await renewer.idle()
  assert.equal(accessToken(await sessions.reload(session)), 'access-1')
  return times
}

test('the lock of a quick renewal is not extended', async () => {
  assert.equal(await extensions(0, true), 0)
})

test('the lock of a renewal whose tokens can not be stored is extended after each half of its time', async () => {
  const lockMs = 3 * issuerTimeoutMs
  assert.equal(await extensions(3 * lockMs, true), 5)
})

test('a lock that can not be extended does not keep tokens from being stored', async () => {
  assert.ok((await extensions(30_000, false)) > 0)
})
