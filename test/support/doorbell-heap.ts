// A program that sleeps and is woken by a bell, in rounds, and prints the heap growth of each.

import { Bell, Sleeper } from '../../shards/memory/doorbell.ts'
import { BELL_BYTES } from '../../shards/memory/layout.ts'
import { tellGrowths } from './heap-rounds.ts'

/** So that all code is compiled and the young generation has its final size. */
const WARM_UP_WAKES = 40_000
/** Per round. */
const WAKES = 20_000

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

await run(WARM_UP_WAKES)
await tellGrowths(() => run(WAKES))
