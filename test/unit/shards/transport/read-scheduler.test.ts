// The time that responses take: who is paused, who goes on, and in which order.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import {
  READERS_PER_TURN_MAX, READ_COST_BYTES, READ_COST_EXTRA, READ_COST_MAX, READ_COST_SMALL,
} from '../../../../shards/memory/socket-limits.ts'
import { ReadScheduler, Reading } from '../../../../shards/transport/read-scheduler.ts'

/** A response of so many chunks that are there at once. */
class Reader {
  readonly #turns: ReadScheduler
  readonly #reading: Reading
  readonly #read: Reader[]
  isPaused = false
  left: number

  constructor(turns: ReadScheduler, reading: Reading, left: number, read: Reader[]) {
    this.#turns = turns
    this.#reading = reading
    this.left = left
    this.#read = read
  }

  goOn(): void {
    this.isPaused = false
    this.#read.push(this)
    while (this.left > 0 && !this.isPaused) {
      this.left--
      this.isPaused = !this.#turns.spend(this.#reading, 1)
      if (this.isPaused) this.#turns.await(this.#reading, this)
    }
  }
}

function start() {
  const runs: (() => void)[] = []
  const turns = new ReadScheduler((run) => runs.push(run))
  /** Who has read, in their order. */
  const read: Reader[] = []
  return {
    turns, read, runs,
    reader: (reading: Reading, left: number) => new Reader(turns, reading, left, read),
    /** Ends the turn. */
    next: (): Reader[] => {
      read.length = 0
      for (const run of runs.splice(0)) run()
      return read
    },
  }
}

it('pauses what has cost the bound of a turn until the next', () => {
  const { reader, next } = start()
  const flood = reader(new Reading(), 3 * READ_COST_MAX)
  flood.goOn()
  assert.equal(flood.left, 2 * READ_COST_MAX)
  assert.equal(flood.isPaused, true)
  next()
  assert.equal(flood.left, READ_COST_MAX)
  next()
  assert.equal(flood.left, 0)
})

it('reads small responses though the bound is reached, up to a bound of their own', () => {
  const { turns, reader } = start()
  reader(new Reading(), READ_COST_MAX).goOn()
  const small = reader(new Reading(), READ_COST_SMALL)
  small.goOn()
  assert.deepEqual([small.left, small.isPaused], [0, false])
  const larger = reader(new Reading(), READ_COST_SMALL + 1)
  larger.goOn()
  assert.equal(larger.isPaused, true)
  let spent = 2 * READ_COST_SMALL + 1
  for (; spent < READ_COST_EXTRA; spent++) {
    const one = reader(new Reading(), 1)
    one.goOn()
    assert.equal(one.isPaused, spent + 1 >= READ_COST_EXTRA, `at ${spent}`)
  }
  assert.equal(turns.spend(new Reading(), 1), false)
})

it('lets destinations go on in turn, however many responses one of them has', () => {
  const { reader, next } = start()
  const many = new Reading()
  const flood = Array.from({ length: 10 }, () => reader(many, 3 * READ_COST_MAX))
  for (const one of flood) one.goOn()
  const single = reader(new Reading(), 2 * READ_COST_MAX)
  single.goOn()
  assert.equal(single.isPaused, true)
  assert.deepEqual(next(), [flood[0]])
  assert.deepEqual(next(), [single])
  assert.ok(next().includes(flood[1] as Reader))
})

it('counts bytes as well as chunks', () => {
  const { turns } = start()
  const reading = new Reading()
  const chunk = 64 * READ_COST_BYTES
  let chunks = 0
  while (turns.spend(reading, chunk)) chunks++
  assert.equal(chunks, Math.floor((READ_COST_MAX - 1) / 65))
})

it('lets few go on in a turn, though there be nothing to read yet', () => {
  const { turns, reader, next } = start()
  const reading = new Reading()
  const waiting = Array.from({ length: 2 * READERS_PER_TURN_MAX + 1 }, () => reader(reading, 0))
  for (const one of waiting) turns.await(reading, one)
  const seen = [...next(), ...next()]
  assert.deepEqual(seen, waiting.slice(0, 2 * READERS_PER_TURN_MAX))
  assert.deepEqual(next(), waiting.slice(-1))
  assert.deepEqual(next(), [])
})

it('forgets a response that has ended while it was paused', () => {
  const { turns, reader, next } = start()
  const reading = new Reading()
  const [first, second] = [reader(reading, 2 * READ_COST_MAX), reader(reading, 10)] as const
  first.goOn()
  second.goOn()
  turns.leave(reading, first)
  assert.deepEqual(next(), [second])
  turns.leave(reading, second)
  assert.deepEqual(next(), [])
})

it('begins a turn anew only when half of the last is spent', () => {
  const { turns, runs } = start()
  const reading = new Reading()
  for (let spent = 1; spent < READ_COST_MAX / 2; spent++) {
    assert.equal(turns.spend(reading, 1), true)
  }
  assert.equal(runs.length, 0)
  turns.spend(reading, 1)
  turns.spend(reading, 1)
  assert.equal(runs.length, 1)
})
