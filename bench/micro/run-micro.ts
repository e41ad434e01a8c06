// Runs micro benches with tinybench and says what one operation takes.

import { Bench } from 'tinybench'
import { budget } from './budget.ts'
import { codec } from './codec.ts'
import { fingerprint } from './fingerprint.ts'
import { headers } from './headers.ts'
import { jobLog } from './job-log.ts'
import { lanes } from './lanes.ts'
import type { MicroBench, MicroSizes } from './micro-case.ts'
import { ring } from './ring.ts'
import { shapes } from './shapes.ts'
import { slotIndex } from './slot-index.ts'
import { wheel } from './wheel.ts'

/** All of them, by the names that the command line takes. */
export const MICRO_BENCHES: Readonly<Record<string, MicroBench>> =
  { ring, codec, log: jobLog, index: slotIndex, lanes, wheel, budget, headers, shapes, fingerprint }

/** What one case came to. */
export interface MicroResult {
  readonly name: string
  /** Of one operation, median over the batches. */
  readonly nanoseconds: number
  readonly batches: number
  /** Over all batches; a figure of something that was not done would have none. */
  readonly checksum: number
}

/** @param milliseconds how long each case is measured, at least. */
export async function runMicro(
  names: readonly string[], sizes: MicroSizes, milliseconds: number,
): Promise<MicroResult[]> {
  const results: MicroResult[] = []
  for (const name of names) {
    for (const each of MICRO_BENCHES[name]?.(sizes) ?? []) {
      let checksum = 0
      const bench = new Bench({ time: milliseconds, iterations: 4, warmupTime: milliseconds / 4 })
      bench.add(each.name, () => { checksum += each.run() })
      await bench.run()
      const result = bench.tasks[0]?.result
      if (result?.state !== 'completed') {
        throw new Error(`${each.name} failed`,
          { cause: result?.state === 'errored' ? result.error : result?.state })
      }
      results.push({
        name: each.name, nanoseconds: (result.latency.p50 * 1e6) / each.operations,
        batches: result.latency.samplesCount, checksum,
      })
    }
  }
  return results
}
