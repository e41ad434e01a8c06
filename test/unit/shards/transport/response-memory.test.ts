// The memory of responses that arrive: who is paused, who goes on, and who hears of room.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { BytesHeld, ResponseMemory } from '../../../../shards/transport/response-memory.ts'

const BOUND_BYTES = 1000

/** A response that is read. */
class Reader {
  readonly held: BytesHeld
  readonly #memory: ResponseMemory
  bytes = 0
  isPaused = false

  constructor(memory: ResponseMemory, held: BytesHeld) {
    this.#memory = memory
    this.held = held
  }

  resume(): void {
    this.isPaused = false
  }

  /** So many bytes come. */
  take(bytes: number): this {
    this.#memory.add(this.held, this, bytes)
    this.bytes += bytes
    this.isPaused = !this.#memory.mayGoOn(this.held, this)
    return this
  }

  end(): void {
    this.#memory.settle(this.held, this, this.bytes)
    this.bytes = 0
    this.isPaused = false
  }
}

function start() {
  const roomAt: number[] = []
  const memory = new ResponseMemory(600, (to) => roomAt.push(to), BOUND_BYTES)
  const reader = (held: BytesHeld): Reader => new Reader(memory, held)
  return { memory, roomAt, reader, full: new BytesHeld(7), other: new BytesHeld(8) }
}

it('pauses the responses of a destination that holds its share, but for one', () => {
  const { memory, reader, full, other } = start()
  const first = reader(full).take(400)
  assert.equal(memory.isOver(full), false)
  first.take(100) // half of all: what is left is not more
  assert.equal(memory.isOver(full), true)
  assert.equal(first.isPaused, false, 'nothing of it can go on')
  const second = reader(full).take(10)
  assert.equal(second.isPaused, true)
  assert.equal(reader(other).take(300).isPaused, false, 'another destination is paused')
  assert.equal(memory.usedBytes, 810)
})

it('lets what is paused go on when there is memory, and one when there is not', () => {
  const { memory, reader, full } = start()
  const exempt = reader(full).take(500)
  const paused = [reader(full).take(10), reader(full).take(10), reader(full).take(10)]
  assert.deepEqual(paused.map(({ isPaused }) => isPaused), [true, true, true])
  paused[1]?.end() // out of the line
  exempt.take(100)
  reader(new BytesHeld(9)).take(0).end()
  assert.deepEqual(paused.map(({ isPaused }) => isPaused), [true, false, true])
  exempt.end()
  assert.deepEqual(paused.map(({ isPaused }) => isPaused), [false, false, false])
  for (const each of paused) each.end()
  assert.equal(memory.usedBytes, 0)
})

it('hands the exemption on, so that a destination never waits for itself alone', () => {
  const { memory, reader, full } = start()
  const readers = Array.from({ length: 20 }, () => reader(full).take(40))
  for (let left = readers.length; left > 0; left--) {
    const next = readers.find((each) => each.bytes > 0 && !each.isPaused)
    assert.ok(next !== undefined, `${left} responses wait for each other`)
    next.end()
  }
  assert.equal(memory.usedBytes, 0)
})

it('says how long a body may become: to its own limit, or to the bound of all', () => {
  const { memory, reader, full, other } = start()
  assert.equal(memory.bytesMaxFrom(0), 600)
  reader(full).take(500)
  const victim = reader(other).take(100)
  assert.equal(memory.bytesMaxFrom(victim.bytes), 500)
  reader(full).take(400)
  assert.equal(memory.bytesMaxFrom(victim.bytes), 100, 'bytes beyond the bound of all')
})

it('tells a destination that is awaited of room once, and only then', () => {
  const { memory, roomAt, reader, full, other } = start()
  const holder = reader(full).take(600)
  const second = reader(other).take(10)
  memory.await(full)
  second.end()
  assert.deepEqual(roomAt, [], 'told while it holds its share')
  holder.end()
  assert.deepEqual(roomAt, [7])
  reader(full).take(10).end()
  assert.deepEqual(roomAt, [7])
})

it('lets another go on in the place of one that stalls', () => {
  const { memory, reader, full } = start()
  const stalled = reader(full).take(500)
  const second = reader(full).take(10)
  const third = reader(full).take(10)
  memory.look()
  assert.deepEqual([second.isPaused, third.isPaused], [true, true], 'it has just had bytes')
  memory.look()
  assert.deepEqual([second.isPaused, third.isPaused], [false, true])
  second.take(10)
  memory.look()
  assert.deepEqual([second.isPaused, third.isPaused], [false, true], 'it goes on')
  stalled.take(10)
  assert.equal(stalled.isPaused, true, 'it is as any other by now')
  memory.look()
  assert.deepEqual([third.isPaused, stalled.isPaused], [false, true], 'they take turns')
})
