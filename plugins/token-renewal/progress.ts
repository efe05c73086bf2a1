/** Where a renewal under way stands, so that a request that gives up waiting for it can say what kept it. */
export interface Progress {
  /** What it waits for now: the issuer, the store, or what another renewal waits for. */
  waitsFor: 'issuer' | 'store' | Progress
}

export function createProgress(): Progress {
  return { waitsFor: 'issuer' }
}

/** Runs an operation of the store. Before and after it, the issuer is what a renewal waits for. */
export async function atStore<T>(progress: Progress, operation: () => Promise<T>): Promise<T> {
  progress.waitsFor = 'store'
  try {
    return await operation()
  } finally {
    progress.waitsFor = 'issuer'
  }
}

export function causeOf({ waitsFor }: Progress): 'issuer' | 'store' {
  return typeof waitsFor === 'string' ? waitsFor : causeOf(waitsFor)
}
