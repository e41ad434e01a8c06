// Model: an array of records, and two ever-growing positions from which the fill follows.
// Method: random writes and reads of one thread, some operations switched off by the seed, at ring
// positions that often cross 2^32; after each step the ring must say what the model says.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import {
  RING_FULL, RING_KIND_MAX, RingReader, RingWriter, ringPayloadBytesMax, ringRecordBytes,
} from '../../../../shards/memory/ring.ts'
import { allocateRing, ringViews, startRingAt } from '../../../support/ring-memory.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261_122)
const RUNS = 300
const STEPS_MAX = 400
const POSITION_MODULUS = 2 ** 32
/** Consumed records that are still tried to be withdrawn. */
const GONE_MAX = 8

interface ModelRecord {
  readonly kind: number
  readonly payload: Buffer
  /** Where the reader stands when it looks at the record, what is skipped before it behind it. */
  readonly start: number
  /** Where the reader stands once the record is consumed. */
  readonly end: number
  /** As commit() said. */
  readonly position: number
  state: 'waiting' | 'taken' | 'withdrawn'
}

/** The naive twin: positions never wrap, records are objects. */
class ModelRing {
  readonly records: ModelRecord[] = []
  tail: number
  head: number
  readonly capacity: number

  constructor(capacity: number, position: number) {
    this.capacity = capacity
    this.tail = position
    this.head = position
  }

  /** Where a record would end, or undefined when there is no room for it. */
  endOf(payloadBytes: number): number | undefined {
    const bytes = Math.ceil((8 + payloadBytes) / 8) * 8
    const place = this.tail % this.capacity
    const start = place + bytes > this.capacity ? this.tail - place + this.capacity : this.tail
    return start + bytes - this.head > this.capacity ? undefined : start + bytes
  }

  push(kind: number, payload: Buffer, end: number, position: number): void {
    const start = end - ringRecordBytes(payload.length)
    this.records.push({ kind, payload, start, end, position, state: 'waiting' })
    this.tail = end
  }

  shift(): void {
    this.head = this.records.shift()?.end ?? this.head
  }

  /** The reader looks at the next record and leaves it. */
  look(): void {
    this.head = this.records[0]?.start ?? this.head
  }
}

class Refusal extends Error {}

/** The ring and its model, and the operations on both. */
class Run {
  readonly #prng: Prng
  readonly #buffer: SharedArrayBuffer
  readonly #model: ModelRing
  #writer: RingWriter
  #reader: RingReader
  /** What was consumed last; to withdraw it comes too late. */
  #gone: ModelRecord[] = []

  constructor(prng: Prng) {
    this.#prng = prng
    const capacity = 2 ** prng.between(6, 12)
    const position = prng.chance(0.5)
      ? POSITION_MODULUS - 8 * prng.below(4 * capacity / 8)
      : 8 * prng.below(2 ** 20)
    this.#buffer = allocateRing(capacity)
    this.#model = new ModelRing(capacity, position)
    startRingAt(ringViews(this.#buffer), position)
    this.#writer = new RingWriter(ringViews(this.#buffer))
    this.#reader = new RingReader(ringViews(this.#buffer), true)
  }

  write(): void {
    const payloadBytes = this.#drawPayloadBytes()
    const kind = this.#prng.between(1, RING_KIND_MAX)
    const end = this.#model.endOf(payloadBytes)
    const at = this.#writer.claim(kind, payloadBytes)
    assert.equal(at === RING_FULL, end === undefined, 'full')
    if (end === undefined) return
    assert.equal(at % 8, 0, 'alignment')
    const payload = this.#drawPayload(payloadBytes)
    payload.copy(this.#writer.bytes, at)
    this.#model.push(kind, payload, end, this.#writer.commit())
  }

  /** Any record of late, also one that was consumed long ago. */
  withdraw(): void {
    const records = [...this.#gone, ...this.#model.records]
    if (records.length === 0) return
    const record = this.#prng.pick(records)
    const isOurs = record.state === 'waiting'
    assert.equal(this.#writer.withdraw(record.position), isOurs, `withdraw what is ${record.state}`)
    if (isOurs) record.state = 'withdrawn'
  }

  /** The writer dies between claim and commit; its successor knows nothing of the claim. */
  writeHalf(): void {
    const payloadBytes = this.#drawPayloadBytes()
    const at = this.#writer.claim(7, payloadBytes)
    if (at !== RING_FULL) this.#writer.bytes.fill(0xee, at, at + payloadBytes)
    this.replaceWriter()
  }

  replaceWriter(): void {
    this.#writer = new RingWriter(ringViews(this.#buffer))
  }

  replaceReader(): void {
    this.#reader = new RingReader(ringViews(this.#buffer), true)
  }

  /** Reads some; the handler may refuse or throw at a record, which must then stay. */
  read(ending: 'accept' | 'refuse' | 'throw'): void {
    const recordsMax = this.#prng.below(12)
    const stopAfter = ending === 'accept' ? Infinity : this.#prng.below(6)
    const next = this.#model.records.slice(0, recordsMax)
    const stopAt = next.filter((record) => record.state !== 'withdrawn')[stopAfter]
    const consumed = stopAt === undefined ? next : next.slice(0, next.indexOf(stopAt))
    const expected = consumed.filter((record) => record.state !== 'withdrawn')
    let seen = 0
    const read = (): number => this.#reader.read((kind, offset, length) => {
      this.#compareRecord(expected[seen] ?? stopAt, kind, offset, length)
      if (seen === stopAfter && ending === 'throw') throw new Refusal()
      if (seen === stopAfter) return false
      seen++
      return true
    }, recordsMax)
    if (stopAt !== undefined && ending === 'throw') assert.throws(read, Refusal)
    else assert.equal(read(), consumed.length, 'records taken')
    assert.equal(seen, expected.length, 'records seen')
    for (const record of stopAt === undefined ? expected : [...expected, stopAt]) {
      record.state = 'taken'
    }
    this.#gone = [...this.#gone, ...consumed].slice(-GONE_MAX)
    for (const _ of consumed) this.#model.shift()
    if (stopAt !== undefined) this.#model.look()
  }

  /** One check a step: each of them may refresh a cached position, which must not help the rest. */
  compare(): void {
    const { tail, head, records } = this.#model
    const payloadBytes = this.#drawPayloadBytes()
    const fits = this.#model.endOf(payloadBytes) !== undefined
    switch (this.#prng.below(4)) {
      case 0: return assert.equal(this.#writer.fillBytes(), tail - head, 'fill')
      case 1: return assert.equal(this.#reader.isEmpty(), records.length === 0, 'empty')
      case 2: return assert.equal(this.#writer.fits(payloadBytes), fits, 'fits')
    }
  }

  drain(): void {
    while (this.#model.records.length > 0) this.read('accept')
    assert.equal(this.#writer.fits(this.#writer.payloadBytesMax), true, 'empty takes the largest')
  }

  #compareRecord(
    expected: ModelRecord | undefined, kind: number, offset: number, length: number,
  ): void {
    assert.ok(expected !== undefined, 'a record out of nothing')
    assert.equal(kind, expected.kind, 'kind')
    assert.equal(offset % 8, 0, 'alignment')
    assert.deepEqual(this.#reader.bytes.subarray(offset, offset + length), expected.payload)
  }

  #drawPayloadBytes(): number {
    const most = ringPayloadBytesMax(this.#model.capacity)
    if (this.#prng.chance(0.1)) return this.#prng.pick([0, 1, most - 1, most])
    return this.#prng.below(this.#prng.chance(0.7) ? Math.min(most, 40) : most + 1)
  }

  #drawPayload(payloadBytes: number): Buffer {
    const payload = Buffer.alloc(payloadBytes)
    for (let at = 0; at < payloadBytes; at++) payload[at] = this.#prng.below(256)
    return payload
  }
}

/** Operations with weights of this run: each one off in a third of the runs. */
function drawOperations(prng: Prng, run: Run): (() => void)[] {
  const operations: [() => void, number][] = [
    [() => run.write(), 20],
    [() => run.read('accept'), 8],
    [() => run.read('refuse'), 4],
    [() => run.read('throw'), 2],
    [() => run.writeHalf(), 2],
    [() => run.withdraw(), 6],
    [() => run.replaceWriter(), 1],
    [() => run.replaceReader(), 1],
  ]
  const drawn = operations.flatMap(([operation, weightMax]) => {
    const weight = prng.chance(1 / 3) ? 0 : prng.between(1, weightMax)
    return Array.from({ length: weight }, () => operation)
  })
  return drawn.length > 0 ? drawn : [() => run.write()]
}

test('the ring does what an array of records does', () => {
  for (let index = 0; index < RUNS; index++) {
    const seed = SEED + index
    const prng = new Prng(seed)
    const run = new Run(prng)
    const operations = drawOperations(prng, run)
    const steps = prng.below(STEPS_MAX)
    try {
      for (let step = 0; step < steps; step++) {
        prng.pick(operations)()
        run.compare()
      }
      run.drain()
    } catch (error) {
      if (error instanceof Error) error.message = `SLUICE_SEED=${seed}: ${error.message}`
      throw error
    }
  }
})

test('a read publishes its progress so that a long one does not starve the writer', () => {
  const views = ringViews(allocateRing(4096))
  const writer = new RingWriter(views)
  const reader = new RingReader(views)
  let written = 0
  const fill = (): void => {
    while (writer.claim(1, 8) !== RING_FULL) {
      writer.commit()
      written++
    }
  }
  fill()
  assert.equal(writer.fillBytes(), 4096)
  let fillSeen = Infinity
  const taken = reader.read(() => {
    fillSeen = Math.min(fillSeen, writer.fillBytes())
    return true
  }, Infinity)
  assert.equal(taken, written)
  assert.ok(fillSeen < 4096, 'no room until the read ended')
  assert.equal(writer.fillBytes(), 0)
})

test('a record written while a read is on is read by it', () => {
  const views = ringViews(allocateRing(256))
  const writer = new RingWriter(views)
  const reader = new RingReader(views)
  const write = (): void => {
    assert.notEqual(writer.claim(1, 0), RING_FULL)
    writer.commit()
  }
  let seen = 0
  write()
  assert.equal(reader.read(() => {
    if (++seen < 10) write()
    return true
  }, 100), 10)
})

test('a thread that is killed in a handler leaves that one record to its successor', () => {
  const views = ringViews(allocateRing(4096))
  const writer = new RingWriter(views)
  for (let record = 0; record < 10; record++) {
    views.u32[writer.claim(1, 4) >>> 2] = record
    writer.commit()
  }
  const seen: number[] = []
  new RingReader(views).read((_, offset) => {
    seen.push(views.u32[offset >>> 2] as number)
    if (seen.length < 4) return true
    // The dead thread publishes nothing any more; what follows is its successor's.
    const successor = new RingReader(views)
    successor.read((_kind, at) => seen.push(views.u32[at >>> 2] as number) > 0, 100)
    return true
  }, 4)
  assert.deepEqual(seen, [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9])
})

test('record sizes', () => {
  assert.deepEqual([1, 8, 9, 0].map(ringRecordBytes), [16, 16, 24, 8])
  assert.equal(ringPayloadBytesMax(1024), 504)
})

test('misuse is asserted, with the numbers', () => {
  const views = ringViews(allocateRing(1024))
  const writer = new RingWriter(views)
  const reader = new RingReader(views)
  assert.throws(() => writer.claim(1, 505), /a payload of 505 bytes; at most 504 fit/)
  assert.throws(() => writer.fits(505), /505 .* 504/)
  assert.throws(() => writer.claim(1, 1.5), /1\.5/)
  assert.throws(() => writer.claim(1, -1), /-1/)
  assert.throws(() => writer.claim(0, 8), /kind/)
  assert.throws(() => writer.commit(), /nothing is claimed/)
  writer.claim(1, 8)
  assert.throws(() => writer.claim(1, 8), /outstanding/)
  writer.commit()
  assert.throws(() => reader.read(() => reader.read(() => true, 1) > 0, 1), /inside a read/)
  assert.equal(reader.read(() => true, 1), 1, 'the reader is usable after a throw')
})

test('views that are no ring, and records that are none, are asserted', () => {
  assert.throws(() => new RingWriter(ringViews(allocateRing(1000))), /1000 bytes.*power of two/)
  assert.throws(() => new RingReader(ringViews(allocateRing(32))), /32 bytes/)
  const views = ringViews(allocateRing(64))
  startRingAt(views, 4)
  assert.throws(() => new RingReader(views), /alignment/)
  views.control[0] = 72
  views.control[32] = 0
  views.control[33] = 0
  assert.throws(() => new RingWriter(views), /more than its capacity/)
  views.control[33] = 80
  assert.throws(() => new RingWriter(views), /capacity|beyond its tail/)
  views.control[33] = 0
  views.control[0] = 16
  views.u32[0] = 24
  const read = (): number => new RingReader(views).read(() => true, 1)
  assert.throws(read, /a record of 24 bytes at 0, with 16/)
  views.u32[0] = 0
  assert.throws(read, /a record of 0 bytes/)
})
