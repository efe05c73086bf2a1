import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { notifiesOfChanges } from './contract-changes.ts'
import { endsSessions, limitsSessions } from './contract-endings.ts'
import { keepsMarkers, locksSessions } from './contract-locks.ts'
import { describesSessions, listsSessions } from './contract-profiles.ts'
import { comparesAndSets, keepsRecords } from './contract-records.ts'
import type { PromiseOf, SetUpStore } from './contract-support.ts'

/** The contract of every session store. Each test uses names of its own, so that all can share one Redis. */
export function storeContract(name: string, setUp: SetUpStore): void {
  const promise: PromiseOf = (title, check) => {
    test(title, async (t) => {
      const id = randomUUID()
      await check({ ...(await setUp(t, id)), id })
    })
  }

  describe(`${name}: records`, () => keepsRecords(promise))
  describe(`${name}: replacing`, () => comparesAndSets(promise))
  describe(`${name}: ending`, () => endsSessions(promise))
  describe(`${name}: limits`, () => limitsSessions(promise))
  describe(`${name}: lists`, () => listsSessions(promise))
  describe(`${name}: profiles`, () => describesSessions(promise))
  describe(`${name}: locks`, () => locksSessions(promise))
  describe(`${name}: markers`, () => keepsMarkers(promise))
  describe(`${name}: changes`, () => notifiesOfChanges(promise))
}
