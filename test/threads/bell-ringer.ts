// Worker of doorbell.test.ts: publishes a round, rings, and waits until the sleeper has seen it.

import { workerData } from 'node:worker_threads'
import { Prng } from '../../shards/base/prng.ts'
import { Bell } from '../../shards/memory/doorbell.ts'
import { bellWords } from '../support/ring-memory.ts'
import { type StormTask, publishedWord, seenWord } from './bell-storm.ts'

const { bell: bellBuffer, rounds: roundsBuffer, ringer, roundsMax, seed } =
  workerData as StormTask & { ringer: number }
const bell = new Bell(bellWords(bellBuffer))
const words = new Int32Array(roundsBuffer)
const prng = new Prng(seed + ringer)
const PAUSE_SPINS_MAX = 200
const WAIT_SPINS_MAX = 5000

/** Spins at first, to be back while the sleeper is still on its way to sleep; then blocks. */
function awaitSeen(round: number): void {
  for (let spin = 0; spin < WAIT_SPINS_MAX; spin++) {
    if (Atomics.load(words, seenWord(ringer)) >= round) return
  }
  while (Atomics.load(words, seenWord(ringer)) < round) {
    Atomics.wait(words, seenWord(ringer), round - 1)
  }
}

for (let round = 1; round <= roundsMax; round++) {
  // A pause of random length, so that rings fall on every step of going to sleep.
  for (let spin = prng.below(PAUSE_SPINS_MAX); spin > 0; spin--) Atomics.load(words, 0)
  Atomics.store(words, publishedWord(ringer), round)
  bell.ring()
  awaitSeen(round)
}
