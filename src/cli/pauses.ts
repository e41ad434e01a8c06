// Time for the commands that talk to a server: now, and being called later.

import { SystemClock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'

/** Time, as far as a client needs it. */
export interface Pauses {
  nowUs(): Micros
  /** Calls `run` once, unless the function that it returns is called before. */
  after(ms: number, run: () => void): () => void
}

/** The machine's. */
export const systemPauses: Pauses = {
  nowUs: () => new SystemClock().nowUs(),
  after: (ms, run) => {
    // A clock has one wake, so each pause has a clock.
    const clock = new SystemClock()
    clock.wakeAt((clock.nowUs() + msToUs(ms)) as Micros, run)
    return () => clock.wakeAt(Infinity as Micros, run)
  },
}
