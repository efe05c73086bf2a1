import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOverloadMeter, tickMs } from '../../../plugins/edge/overload/meter.ts'

/** A process with a controlled clock and CPU time. */
function start() {
  let [now, cpu] = [0, 0]
  const meter = createOverloadMeter({ now: () => now, cpuMs: () => cpu })
  return {
    meter,
    /** Blocks the loop for a time, during a share of which the process has the CPU. */
    spend(ms: number, share: number) {
      now += ms
      cpu += ms * share
    },
  }
}

type Process = ReturnType<typeof start>

/** Ticks after this much time. */
function tickAfter({ meter, spend }: Process, ms: number, share: number): void {
  spend(ms, share)
  meter.tick()
}

test('an event loop on time is not overloaded, whether busy or idle', () => {
  const process = start()
  for (const share of [0, 1]) {
    for (let ticks = 0; ticks < 20; ticks++) {
      tickAfter(process, tickMs, share)
      assert.equal(process.meter.isOverloaded(), false)
    }
    tickAfter(process, tickMs + 1000, share)
    assert.equal(process.meter.isOverloaded(), false)
    assert.equal(process.meter.latenessMs(), 1000)
  }
})

test('a busy process whose loop is late by more than a second is overloaded, even before its next tick', () => {
  const process = start()
  process.spend(tickMs + 1000, 1)
  assert.equal(process.meter.isOverloaded(), false)
  process.spend(1, 1)
  assert.equal(process.meter.isOverloaded(), true)
  assert.equal(process.meter.latenessMs(), 1001)
  process.meter.tick()
  assert.equal(process.meter.isOverloaded(), true)
})

test('one tick on time ends an overload, however long it lasted', () => {
  const process = start()
  for (let ticks = 0; ticks < 50; ticks++) tickAfter(process, 3000, 1)
  assert.equal(process.meter.isOverloaded(), true)
  tickAfter(process, tickMs, 1)
  assert.equal(process.meter.isOverloaded(), false)
})

for (const stopMs of [800, 3000, 25_000]) {
  test(`a process that was stopped once for ${stopMs} ms refuses nothing afterwards`, () => {
    const process = start()
    tickAfter(process, tickMs, 0.1)
    process.spend(stopMs, 0)
    // Requests that waited in the sockets are handled first in a turn, then the tick.
    process.spend(50, 1)
    assert.equal(process.meter.isOverloaded(), false)
    process.meter.tick()
    assert.equal(process.meter.isOverloaded(), false)
    tickAfter(process, tickMs, 1)
    assert.equal(process.meter.isOverloaded(), false)
  })
}

test('a process that repeatedly gets no CPU is overloaded from the second time on', () => {
  const process = start()
  tickAfter(process, 1500, 0.1)
  assert.equal(process.meter.isOverloaded(), false)
  process.spend(1500, 0.1)
  assert.equal(process.meter.isOverloaded(), true)
  process.meter.tick()
  assert.equal(process.meter.isOverloaded(), true)
  tickAfter(process, tickMs, 0.1)
  assert.equal(process.meter.isOverloaded(), false)
})
