// Model: a Map from owner to the bytes that its record must have, and to where it is.
// Method: random appends, frees, cleaning and deaths of the thread at any point between two
// writes, with record sizes from nothing to a whole segment; then all records are compared. The
// promise (what is admitted finds room, for ever) is tested by itself, with a real log's sizes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { KIB, type Location, MIB, NONE } from '../../../../shards/base/units.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import { LOG_RECORD_HEADER_BYTES as HEADER_BYTES } from '../../../../shards/memory/limits.ts'
import {
  JobLog, LOG_JOB_INLINE, LOG_JOB_SHARED, LOG_RESULT_INLINE, type LogOwners,
} from '../../../../shards/store/job-log.ts'
import { logMemory } from '../../../support/log-memory.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const STEPS = 300
const SEGMENT_BYTES = 4 * KIB
const KINDS = [LOG_JOB_SHARED, LOG_JOB_INLINE, LOG_RESULT_INLINE]

/** Every payload is a piece of these bytes, so that the model need not keep copies. */
const SOURCE = Buffer.from(Array.from({ length: 8 * KIB }, (_, at) => (at * 31 + (at >> 7)) & 0xff))

interface Kept {
  readonly kind: number
  readonly word: number
  readonly start: number
  readonly end: number
  at: Location
}

class Death extends Error {}

/** The naive twin, and the owners' facts: they outlive a thread. */
class RecordOwners implements LogOwners {
  readonly records = new Map<number, Kept>()
  ownerNext = 0
  /** Dies at the next move: 'before' or 'after' it is written down. */
  dies: 'before' | 'after' | undefined
  moves = 0

  isLive(kind: number, owner: number, at: Location): boolean {
    const kept = this.records.get(owner)
    return kept?.at === at && kept.kind === kind
  }

  moved(kind: number, owner: number, to: Location): void {
    const kept = this.records.get(owner)
    assert.ok(kept !== undefined && kept.kind === kind, 'moved a record that is gone')
    this.moves++
    if (this.dies === 'before') throw new Death()
    kept.at = to
    if (this.dies === 'after') throw new Death()
  }
}

class Run {
  readonly #prng: Prng
  readonly #attach: () => ShardViews
  readonly #holder = new RecordOwners()
  readonly #drawBytes: () => number
  #log: JobLog

  constructor(prng: Prng) {
    this.#prng = prng
    this.#attach = logMemory(SEGMENT_BYTES, prng.between(8, 24)).attach
    this.#log = new JobLog(this.#attach(), { recover: false })
    const payloadBytesMax = prng.pick([50, 300, 1000, 2000, SEGMENT_BYTES - HEADER_BYTES])
    const isSkewed = prng.chance(0.5)
    this.#drawBytes = () =>
      Math.floor((prng.unit() * (isSkewed ? prng.unit() ** 3 : 1)) * (payloadBytesMax + 1))
  }

  /** A new job: what is admitted must find room. */
  accept(): void {
    const bytes = this.#drawBytes()
    if (!this.#log.admits(bytes)) return
    if (this.#append(bytes, false)) return
    assert.ok(this.#log.makeRoom(bytes, this.#holder), 'admitted, but no room was made')
    assert.ok(this.#append(bytes, false), 'room was made, but the append failed')
  }

  /** A result: it may be refused, but not while the log holds what it should. */
  report(): void {
    const bytes = this.#drawBytes()
    if (this.#append(bytes, true)) return
    const isFull = this.#log.heldBytes > this.#log.usableBytes
    const hasRoom = this.#log.makeRoom(bytes, this.#holder, true)
    assert.ok(hasRoom || isFull, 'a result found no room')
    assert.equal(this.#append(bytes, true), hasRoom)
  }

  /** Without asking first: refused or not, the log stays whole. */
  push(): void {
    this.#append(this.#drawBytes(), false)
  }

  free(): void {
    const owner = this.#drawOwner()
    const kept = this.#holder.records.get(owner)
    if (kept === undefined) return
    this.#holder.records.delete(owner)
    this.#log.free(kept.at)
  }

  freeMany(): void {
    const share = this.#prng.unit()
    for (const [owner, { at }] of this.#holder.records) {
      if (!this.#prng.chance(share)) continue
      this.#holder.records.delete(owner)
      this.#log.free(at)
    }
  }

  clean(): void {
    const bytesMax = this.#prng.pick([1, 500, SEGMENT_BYTES])
    const { moves } = this.#holder
    const isNeeded = this.#log.needsCleaning()
    const bytes = this.#log.clean(bytesMax, this.#holder)
    if (!isNeeded) assert.equal(bytes, 0)
    if (bytes === 0) assert.equal(this.#holder.moves, moves)
    assert.ok(bytes <= bytesMax + 64 + SEGMENT_BYTES, 'cleaned more than it was told')
  }

  makeRoom(): void {
    this.#log.makeRoom(SEGMENT_BYTES - HEADER_BYTES, this.#holder)
  }

  /** The thread dies between two calls, with an append or a free half written down. */
  die(): void {
    const bytes = this.#drawBytes()
    if (this.#prng.chance(0.5)) {
      this.#log.append(LOG_RESULT_INLINE, this.#holder.ownerNext++, 0, SOURCE, 0, bytes, true)
    } else {
      this.#holder.records.delete(this.#drawOwner())
    }
    this.#recover()
  }

  /** Another thread goes on, perhaps in the midst of cleaning. */
  handOver(): void {
    const baton = structuredClone(this.#log.handOver())
    this.#log = new JobLog(this.#attach(), { recover: true })
    this.#log.takeOver(baton)
  }

  /** The thread dies while it moves a record. */
  dieMoving(): void {
    this.#holder.dies = this.#prng.pick(['before', 'after'])
    try {
      if (this.#prng.chance(0.5)) this.#log.clean(SEGMENT_BYTES, this.#holder)
      else this.makeRoom()
    } catch (error) {
      if (!(error instanceof Death)) throw error
      this.#recover()
    }
    this.#holder.dies = undefined
  }

  check(): void {
    this.#log.verify(this.#holder)
    let liveBytes = 0
    for (const [owner, { kind, word, start, end, at }] of this.#holder.records) {
      const log = this.#log
      assert.equal(log.kindOf(at), kind)
      assert.equal(log.ownerOf(at), owner)
      assert.equal(log.wordOf(at), word)
      assert.equal(log.lengthOf(at), end - start)
      const order = log.bytesOf(at).compare(SOURCE, start, end, log.startOf(at), log.endOf(at))
      assert.equal(order, 0, 'a record has other bytes')
      liveBytes += Math.ceil((HEADER_BYTES + end - start) / 8) * 8
    }
    assert.equal(this.#log.liveBytes, liveBytes)
    assert.ok(this.#log.freeSegments >= 0)
  }

  drain(): void {
    for (const { at } of this.#holder.records.values()) this.#log.free(at)
    this.#holder.records.clear()
    assert.equal(this.#log.liveBytes, 0)
    assert.equal(this.#log.heldBytes, 0)
  }

  #append(bytes: number, reserve: boolean): boolean {
    const start = this.#prng.below(SOURCE.length - bytes)
    const kind = this.#prng.pick(KINDS)
    const word = this.#prng.uint32()
    const owner = this.#holder.ownerNext
    const at = this.#log.append(kind, owner, word, SOURCE, start, start + bytes, reserve)
    if (at === NONE) return false
    this.#holder.ownerNext++
    this.#holder.records.set(owner, { kind, word, start, end: start + bytes, at: at as Location })
    return true
  }

  #drawOwner(): number {
    const owners = [...this.#holder.records.keys()]
    return owners.length === 0 ? -1 : this.#prng.pick(owners)
  }

  #recover(): void {
    this.#log = new JobLog(this.#attach(), { recover: true })
    this.#log.recover(this.#holder)
  }
}

test('a log holds what a map holds, through cleaning and deaths', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'accept',
      ['report', 'push', 'free', 'freeMany', 'clean', 'makeRoom', 'die', 'dieMoving',
        'handOver'])
    for (let step = 0; step < STEPS; step++) {
      const operation = swarm.next()
      if (operation !== 'freeMany' || prng.chance(0.1)) run[operation]()
      if (step % 8 === 0) run.check()
    }
    run.check()
    run.drain()
  })
})

const ROUNDS = 60
const CHURN_SEGMENT_BYTES = 2 * MIB
const CHURN_SEGMENTS = 16
const PAYLOAD = Buffer.alloc(MIB + 64 * KIB, 'sluice')

/** Stores a job that was admitted, under an owner never used before. */
function accept(log: JobLog, holder: RecordOwners, bytes: number): number {
  const owner = holder.ownerNext++
  const append = (): Location | typeof NONE =>
    log.append(LOG_JOB_INLINE, owner, 0, PAYLOAD, 0, bytes, false)
  let at = append()
  if (at === NONE) {
    assert.ok(log.makeRoom(bytes, holder), 'admitted, but no room was made')
    at = append()
  }
  assert.notEqual(at, NONE, 'room was made, but the append failed')
  const kept = { kind: LOG_JOB_INLINE, word: 0, start: 0, end: bytes, at: at as Location }
  holder.records.set(owner, kept)
  return owner
}

/** Fills the log until it refuses, in one order of sizes; returns the bytes that it accepted. */
function fill(
  log: JobLog, holder: RecordOwners, sizes: readonly number[], owners: number[],
): number {
  let accepted = 0
  for (const bytes of sizes) {
    if (!log.admits(bytes)) continue
    owners.push(accept(log, holder, bytes))
    accepted += bytes
  }
  return accepted
}

for (const { name, bytesMin, bytesMax, floor } of [
  { name: '100 B to 1 MiB', bytesMin: 100, bytesMax: MIB, floor: 0.9 },
  { name: '1 KiB to 64 KiB', bytesMin: KIB, bytesMax: 64 * KIB, floor: 0.98 },
  { name: '1 MiB and a little', bytesMin: MIB, bytesMax: MIB + 64 * KIB, floor: 0.9 },
]) {
  test(`rounds of filling and draining with ${name}, some pinned, do not shrink`, () => {
    forEachSeed(1, (prng) => {
      const { attach } = logMemory(CHURN_SEGMENT_BYTES, CHURN_SEGMENTS)
      const log = new JobLog(attach(), { recover: false })
      const holder = new RecordOwners()
      const sizes = Array.from({ length: 2000 }, () =>
        Math.floor(bytesMin * (bytesMax / bytesMin) ** prng.unit()))
      let least = Infinity
      let first = 0
      let pinned = 0
      for (let round = 0; round < ROUNDS; round++) {
        const owners: number[] = []
        const accepted = fill(log, holder, sizes, owners)
        // The first rounds leave what a paused account would; it stays to the end.
        const isPinning = pinned < log.usableBytes / 10
        if (prng.chance(0.5)) owners.reverse()
        for (const owner of owners) {
          const { at, end } = holder.records.get(owner) as Kept
          if (isPinning && pinned < log.usableBytes / 10 && prng.chance(0.02)) {
            pinned += end
            continue
          }
          holder.records.delete(owner)
          log.free(at)
          if (prng.chance(0.2)) log.clean(64 * KIB, holder)
        }
        log.verify(holder)
        if (isPinning) continue
        if (first === 0) first = accepted
        least = Math.min(least, accepted)
      }
      assert.ok(first > 0, 'nothing was measured')
      assert.ok(least >= first * floor, `${first} bytes at first, later ${least}`)
    })
  })
}

test('a log kept at its limit copies a bounded multiple of what is appended', () => {
  forEachSeed(3, (prng) => {
    const log = new JobLog(logMemory(64 * KIB, 64).attach(), { recover: false })
    const holder = new RecordOwners()
    const owners: number[] = []
    let appended = 0
    let cleaned = 0
    let moves = 0
    for (let step = 0; step < 60_000; step++) {
      const bytes = prng.between(100, 900)
      while (!log.admits(bytes)) {
        const place = prng.below(owners.length)
        const owner = owners[place] as number
        owners[place] = owners[owners.length - 1] as number
        owners.pop()
        const { at } = holder.records.get(owner) as Kept
        holder.records.delete(owner)
        log.free(at)
      }
      const movesBefore = holder.moves
      owners.push(accept(log, holder, bytes))
      moves += holder.moves - movesBefore
      appended += bytes
      cleaned += log.clean(4 * KIB, holder)
    }
    log.verify(holder)
    assert.ok(log.liveBytes > log.usableBytes * 0.98, 'the log is not at its limit')
    assert.ok(cleaned > 0 && cleaned < 4 * appended, `${cleaned} for ${appended}`)
    assert.ok(moves < 60_000 / 100, `${moves} moves were not done ahead of need`)
  })
})

test('misuse is told', () => {
  const log = new JobLog(logMemory(SEGMENT_BYTES, 8).attach(), { recover: false })
  const at = log.append(LOG_RESULT_INLINE, 1, 2, SOURCE, 10, 20, false) as Location
  assert.equal(log.endOf(at) - log.startOf(at), 10)
  const append = (bytes: number) => log.append(LOG_RESULT_INLINE, 1, 0, SOURCE, 0, bytes, false)
  assert.throws(() => append(SEGMENT_BYTES), /larger/)
  assert.throws(() => append(SOURCE.length + 1), /beyond/)
  log.free(at)
  assert.throws(() => log.free(at), /twice/)
  assert.throws(() => log.lengthOf(at), /dead/)
  const idle = new JobLog(logMemory(SEGMENT_BYTES, 8).attach(), { recover: true })
  assert.throws(() => idle.append(LOG_RESULT_INLINE, 1, 0, SOURCE, 0, 1, false), /recovered/)
})
