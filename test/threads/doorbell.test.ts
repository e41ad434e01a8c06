// The doorbell: first what one thread can see of it, then a storm of ringing threads in which a
// ringer waits for each of its rounds to be seen, so that a single lost wake-up stops everything.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mock, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Prng } from '../../shards/base/prng.ts'
import { Bell, Sleeper } from '../../shards/memory/doorbell.ts'
import { allocateBell, bellWords } from '../support/ring-memory.ts'
import { type StormTask, allocateRounds, publishedWord, seenWord } from './bell-storm.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261_122)
const GUARD_MS = 60_000

const noWork = (): boolean => false
const neverWake = (): void => assert.fail('woken')

/** A bell with both ends in this thread. */
function makeBell(): { bell: Bell; sleeper: Sleeper; words: Int32Array } {
  const words = bellWords(allocateBell())
  return { bell: new Bell(words), sleeper: new Sleeper(words), words }
}

/** Resolves after every wake-up that was under way when it was called. */
async function wakesDelivered(): Promise<void> {
  const { bell, sleeper } = makeBell()
  await new Promise<void>((resolve) => {
    sleeper.sleep(noWork, resolve)
    bell.ring()
  })
}

test('a ring wakes a sleeper once', async () => {
  const { bell, sleeper } = makeBell()
  let wakes = 0
  assert.equal(sleeper.sleep(noWork, () => wakes++), true)
  for (let ring = 0; ring < 100; ring++) bell.ring()
  assert.equal(wakes, 0, 'from the event loop, not from ring()')
  await wakesDelivered()
  assert.equal(wakes, 1)
})

test('ringing someone awake touches nothing', () => {
  const { bell, sleeper, words } = makeBell()
  bell.ring()
  sleeper.sleep(noWork, neverWake)
  sleeper.awake()
  bell.ring()
  assert.ok(words.every((word) => word === 0))
})

test('work that arrives with the announcement keeps the owner awake', async () => {
  const { bell, sleeper, words } = makeBell()
  assert.equal(sleeper.sleep(() => true, neverWake), false)
  bell.ring()
  assert.equal(words[0], 0, 'nobody slept')
  assert.equal(sleeper.sleep(() => { bell.ring(); return false }, neverWake), false)
  assert.equal(words[0], 1, 'rung between the look and the wait')
  await wakesDelivered()
})

test('after awake() the old sleep is not woken, and a ring that was under way may wake the next',
  async () => {
    const { bell, sleeper } = makeBell()
    sleeper.sleep(noWork, neverWake)
    bell.ring()
    sleeper.awake()
    await wakesDelivered()

    sleeper.sleep(noWork, neverWake)
    bell.ring()
    sleeper.awake()
    let wakes = 0
    assert.equal(sleeper.sleep(noWork, () => wakes++), true)
    await wakesDelivered()
    assert.equal(wakes, 1, 'for nothing, once')

    assert.equal(sleeper.sleep(noWork, () => wakes++), true)
    bell.ring()
    await wakesDelivered()
    assert.equal(wakes, 2)
  })

test('sleeps that timers end share one pending wait', async () => {
  const { bell, sleeper } = makeBell()
  const waits = mock.method(Atomics, 'waitAsync')
  try {
    for (let sleep = 0; sleep < 100_000; sleep++) {
      assert.equal(sleeper.sleep(noWork, neverWake), true)
      sleeper.awake()
    }
    assert.equal(waits.mock.callCount(), 1)
    const woken = new Promise<void>((resolve) => sleeper.sleep(noWork, resolve))
    bell.ring()
    await woken
    assert.equal(waits.mock.callCount(), 1)
    sleeper.sleep(noWork, neverWake)
    assert.equal(waits.mock.callCount(), 2, 'the first was used up')
  } finally {
    waits.mock.restore()
  }
})

test('a nap ends at once where there is work, else when its time is up, and is forgotten', () => {
  const { bell, sleeper, words } = makeBell()
  assert.equal(sleeper.nap(() => true, GUARD_MS), true)
  assert.equal(sleeper.nap(() => { bell.ring(); return false }, GUARD_MS), true, 'rung meanwhile')
  assert.equal(sleeper.nap(noWork, 1), false)
  const before = words.slice()
  bell.ring()
  assert.deepEqual(words, before, 'nobody naps')
})

test('a ring that ends a nap leaves the pending wait of a sleep alone', async () => {
  const { bell, sleeper } = makeBell()
  sleeper.sleep(noWork, neverWake)
  sleeper.awake()
  const waits = mock.method(Atomics, 'waitAsync')
  try {
    assert.equal(sleeper.nap(() => { bell.ring(); return false }, GUARD_MS), true)
    await wakesDelivered()
    waits.mock.resetCalls()
    let wakes = 0
    assert.equal(sleeper.sleep(noWork, () => wakes++), true)
    assert.equal(waits.mock.callCount(), 0, 'the wait from before is pending still')
    assert.throws(() => sleeper.nap(noWork, 1), /asleep already/)
    bell.ring()
    await wakesDelivered()
    assert.equal(wakes, 1)
  } finally {
    waits.mock.restore()
  }
})

test('a successor of a thread that died asleep starts awake', () => {
  const { bell, sleeper, words } = makeBell()
  sleeper.sleep(noWork, () => {})
  new Sleeper(words).awake()
  bell.ring()
  assert.equal(words[0], 0)
})

test('sleeping twice, and words of another size, are asserted', () => {
  const { sleeper, words } = makeBell()
  sleeper.sleep(noWork, () => {})
  assert.throws(() => sleeper.sleep(noWork, () => {}), /asleep already/)
  assert.throws(() => new Bell(words.subarray(1)), /no bell/)
  assert.throws(() => new Sleeper(words.subarray(1)), /no bell/)
})

/** Sees rounds until all are done; naps or sleeps in between, at times woken by something else. */
class StormSleeper {
  readonly #task: StormTask
  readonly #words: Int32Array
  readonly #sleeper: Sleeper
  readonly #prng: Prng
  #seen = 0
  sleeps = 0
  wakes = 0
  naps = 0

  constructor(task: StormTask) {
    this.#task = task
    this.#words = new Int32Array(task.rounds)
    this.#sleeper = new Sleeper(bellWords(task.bell))
    this.#prng = new Prng(task.seed)
  }

  /** Goes on until every round has been seen, then calls `done`. */
  turn(done: () => void): void {
    while (this.#seen < this.#task.ringers * this.#task.roundsMax) {
      if (this.#look()) continue
      if (this.#prng.chance(0.5)) {
        this.naps++
        assert.ok(this.#sleeper.nap(() => this.#hasWork(), GUARD_MS), 'a ring was lost')
        continue
      }
      let other: NodeJS.Immediate | undefined
      const asleep = this.#sleeper.sleep(() => this.#hasWork(), () => {
        if (other !== undefined) clearImmediate(other)
        this.wakes++
        this.turn(done)
      })
      if (!asleep) continue
      this.sleeps++
      if (this.#prng.chance(0.3)) other = setImmediate(() => this.#wakeOtherwise(done))
      return
    }
    done()
  }

  #wakeOtherwise(done: () => void): void {
    this.#sleeper.awake()
    this.turn(done)
  }

  #hasWork(): boolean {
    for (let ringer = 0; ringer < this.#task.ringers; ringer++) {
      if (this.#isNew(ringer)) return true
    }
    return false
  }

  #isNew(ringer: number): boolean {
    const published = Atomics.load(this.#words, publishedWord(ringer))
    return published !== Atomics.load(this.#words, seenWord(ringer))
  }

  /** Tells each ringer with a new round that it was seen; false when there is none. */
  #look(): boolean {
    const seenBefore = this.#seen
    for (let ringer = 0; ringer < this.#task.ringers; ringer++) {
      if (!this.#isNew(ringer)) continue
      this.#seen++
      Atomics.add(this.#words, seenWord(ringer), 1)
      Atomics.notify(this.#words, seenWord(ringer))
    }
    return this.#seen > seenBefore
  }
}

// With one ringer, nobody else's ring makes up for a lost one; with more, they race for the flag.
for (const [ringers, roundsMax] of [[1, 40_000], [3, 10_000]] as const) {
  test(`a storm of rings from ${ringers} loses no wake-up`, { timeout: GUARD_MS }, async (t) => {
    const task: StormTask = {
      bell: allocateBell(), rounds: allocateRounds(ringers), ringers, roundsMax, seed: SEED,
    }
    const workers = Array.from({ length: ringers }, (_, ringer) =>
      new Worker(new URL('./bell-ringer.ts', import.meta.url), { workerData: { ...task, ringer } }))
    try {
      const exits = Promise.all(workers.map((worker) => once(worker, 'exit')))
      const sleeper = new StormSleeper(task)
      const seen = new Promise<void>((resolve) => sleeper.turn(resolve))
      await Promise.all([seen, exits])
      const { naps, sleeps, wakes } = sleeper
      t.diagnostic(`seed ${SEED}, ${naps} naps, ${sleeps} sleeps, ${wakes} ended by a ring`)
      assert.ok(wakes > 100 && naps > 100, `only ${wakes} wakes, ${naps} naps`)
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()))
    }
  })
}
