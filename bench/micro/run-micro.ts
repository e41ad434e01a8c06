// Runs micro benches with tinybench and prints the time of one operation.

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

/** All benches, by their names on the command line. */
export const MICRO_BENCHES: Readonly<Record<string, MicroBench>> =
  { ring, codec, log: jobLog, index: slotIndex, lanes, wheel, budget, headers, shapes, fingerprint }

/** The result of one case. */
export interface MicroResult {
  readonly name: string
  /** Of one operation: median over the batches. */
  readonly nanoseconds: number
  readonly batches: number
  /** Over all batches; proves that the operations were done. */
  readonly checksum: number
}

/** @param milliseconds the minimum time of each case. */
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
