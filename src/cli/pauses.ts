// Time for the commands that connect to a server: the present time, and delayed calls.

import { SystemClock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'

/** The time functions that a client needs. */
export interface Pauses {
  nowUs(): Micros
  /** Calls `run` once after a delay; the returned function cancels it. */
  after(ms: number, run: () => void): () => void
}

/** The system's time. */
export const systemPauses: Pauses = {
  nowUs: () => new SystemClock().nowUs(),
  after: (ms, run) => {
    // A clock has one wake-up, so each pause needs a clock.
    const clock = new SystemClock()
    clock.wakeAt((clock.nowUs() + msToUs(ms)) as Micros, run)
    return () => clock.wakeAt(Infinity as Micros, run)
  },
}
