// A program that sleeps and is rung in rounds and says how many bytes of old objects each round has
// left behind. A process of its own, since the test runner's hooks leave some behind, too.

import { getHeapSpaceStatistics } from 'node:v8'
import { Bell, Sleeper } from '../../shards/doorbell.ts'
import { BELL_BYTES } from '../../shards/layout.ts'

/** Until the code is compiled and the young generation has its size. */
const WARM_UP_WAKES = 40_000
/** Of each round. */
const WAKES = 20_000
const ROUNDS = 7

const words = new Int32Array(new SharedArrayBuffer(BELL_BYTES))
const bell = new Bell(words)
const sleeper = new Sleeper(words)

function run(wakes: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const sleep = (left: number): void => {
    if (left === 0) return resolve()
    sleeper.sleep(() => false, () => sleep(left - 1))
    setImmediate(() => bell.ring())
  }
  sleep(wakes)
  return promise
}

const oldSpaceBytes = (): number => getHeapSpaceStatistics()
  .find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? Number.NaN

await run(WARM_UP_WAKES)
const growths: number[] = []
for (let round = 0; round < ROUNDS; round++) {
  const before = oldSpaceBytes()
  await run(WAKES)
  growths.push(oldSpaceBytes() - before)
}
process.stdout.write(JSON.stringify(growths))
