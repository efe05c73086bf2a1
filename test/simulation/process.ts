import { createHash } from 'node:crypto'
import type { Clock } from '../../lib/clock.ts'
import type { Fault, Operation } from './plan.ts'
import type { VirtualTime } from './virtual-time.ts'

/**
 * The process of a gateway. All that it waits for passes through here: its clock and its messages to the
 * store and the issuer. So after a crash none of its code runs again, and while it is frozen none runs.
 */
export interface GatewayProcess {
  readonly gateway: number
  readonly clock: Clock
  readonly crashed: boolean
  /** How long it was frozen in total since `sinceMs`. */
  frozenMs(sinceMs: number): number
  crash(): void
  freeze(ms: number): void
  /** Sends one message and waits for its answer, or for the fault that the plan has for it. */
  send<T>(operation: Operation, message: Message<T>): Promise<T>
}

export interface Message<T> {
  /** Runs at the receiver. */
  effect(fault: Fault | undefined): Promise<T>
  /** The result for the sender without an answer: a value or an error. */
  lost(): T
  /** The sender considers it lost after this time. */
  timeoutMs?: number
}

export interface ProcessOptions {
  gateway: number
  time: VirtualTime
  jitter: number
  faults: Fault[]
  /** @param untilMs when it ends */
  onTrouble(what: string, untilMs: number, crash: boolean): void
}

/** After this time the sender considers a command lost that takes effect later. */
const commandTimeoutMs = 500
const firstFew = 5
/** An arbitrary date. */
const epoch = Date.UTC(2026, 0, 1)

export function createProcess({ gateway, time, jitter, faults, onTrouble }: ProcessOptions): GatewayProcess {
  const sent = new Map<Operation, number>()
  const freezes: { from: number; until: number }[] = []
  let crashed = false
  let frozenUntil = 0

  const clock: Clock = {
    now: () => epoch + time.now(),
    monotonic: () => time.now(),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (ms <= 0 || signal?.aborted) return resolve()
        const abort = () => {
          cancel()
          resolve()
        }
        const cancel = time.after(ms, () =>
          arrive(() => {
            signal?.removeEventListener('abort', abort)
            resolve()
          }),
        )
        signal?.addEventListener('abort', abort, { once: true })
      }),
  }

  return {
    gateway,
    clock,
    crash,
    freeze,
    send,
    get crashed() {
      return crashed
    },
    frozenMs: (sinceMs) =>
      freezes.reduce(
        (sum, { from, until }) => sum + Math.max(0, Math.min(until, time.now()) - Math.max(from, sinceMs)),
        0,
      ),
  }

  function crash(): void {
    if (crashed) return
    crashed = true
    onTrouble('crashes', time.now(), true)
  }

  function freeze(ms: number): void {
    const until = time.now() + ms
    if (until <= frozenUntil) return
    freezes.push({ from: Math.max(time.now(), frozenUntil), until })
    frozenUntil = until
    onTrouble(`is frozen for ${ms} ms`, until, false)
  }

  /** Delivers a message to the process: at once, after a freeze, or never after a crash. */
  function arrive(run: () => void): void {
    if (crashed) return
    if (time.now() < frozenUntil) time.after(frozenUntil - time.now(), () => arrive(run))
    else run()
  }

  function send<T>(operation: Operation, { effect, lost, timeoutMs }: Message<T>): Promise<T> {
    const nth = sent.get(operation) ?? 0
    sent.set(operation, nth + 1)
    const fault = faults.find(
      (each) =>
        each.gateway === gateway &&
        each.operation === operation &&
        (each.which === 'first few' ? nth < firstFew : nth === each.which),
    )
    return new Promise<T>((resolve, reject) => {
      if (crashed) return
      const extraMs = fault?.ms ?? 0
      if (fault)
        onTrouble(`${operation} number ${nth}: ${fault.kind}, ${extraMs} ms`, time.now() + extraMs, false)
      const giveUp = () => arrive(() => new Promise<T>((give) => give(lost())).then(resolve, reject))
      const calm = timeoutMs === undefined ? () => {} : time.after(timeoutMs, giveUp)

      switch (fault?.kind) {
        case 'slow request':
          return transmit(extraMs, 0)
        case 'slow answer':
          return transmit(0, extraMs)
        case 'lost request':
          time.after(extraMs, giveUp)
          return
        case 'lost answer':
          time.after(extraMs, giveUp)
          return transmit(0, undefined)
        case 'late effect':
          time.after(commandTimeoutMs, giveUp)
          return transmit(extraMs, undefined)
        case 'crash before it is sent':
          return crash()
        case 'crash when it has taken effect':
          return transmit(0, undefined, crash)
        case 'freeze once it is sent':
          freeze(extraMs)
          return transmit(0, 0)
        default:
          return transmit(0, 0)
      }

      function transmit(moreThereMs: number, moreBackMs: number | undefined, then = () => {}): void {
        time.after(latency(operation, nth, 'there') + moreThereMs, () => {
          effect(fault).then(
            (answer) => {
              then()
              if (moreBackMs === undefined) return
              const backMs = latency(operation, nth, 'back') + moreBackMs
              time.after(backMs, () =>
                arrive(() => {
                  calm()
                  resolve(answer)
                }),
              )
            },
            (error) => arrive(() => reject(error)),
          )
        })
      }
    })
  }

  function latency(...message: [Operation, number, 'there' | 'back']): number {
    if (jitter === 0) return 1
    const hash = createHash('md5')
      .update(JSON.stringify([jitter, gateway, ...message]))
      .digest()
    return 1 + (hash.readUInt32LE() % 20)
  }
}
