// Model: lists of connections that are being made, idle and at work, how many are wanted, and
// whether there is room elsewhere. Random operations, some of them off per seed; after each step
// pool and model must agree on who is where, what was opened and ended, and what was told.
// What model and pool have in common is the rule for how many may be in the making.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import {
  CONNECTIONS_MAKING_MIN, CONNECTIONS_STALLED_MAX,
} from '../../../../shards/memory/socket-limits.ts'
import { OriginPool, type PooledConnection } from '../../../../shards/transport/origin-pool.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261)
const SEEDS = 300
const STEPS = 200
const OPERATIONS = [
  'want', 'want', 'made', 'made', 'take', 'take', 'release', 'release', 'drop', 'lost', 'closeIdle',
  'endLongestIdle', 'room', 'retry', 'forgetWanted', 'passOver',
] as const
type Operation = (typeof OPERATIONS)[number]

class FakeConnection implements PooledConnection {
  idleIndex = -1
  inTheMaking = false
  isStalled = false
  openedAfter = 0
  destroyed = false

  async destroy(): Promise<void> {
    assert.equal(this.destroyed, false, 'a connection is destroyed twice')
    this.destroyed = true
  }
}

/** A pool, every connection that it ever opened in order, and what it told. */
class PoolOfFakes {
  readonly opened: FakeConnection[] = []
  readonly told = { free: 0, ended: 0, empty: 0 }
  hasRoom = true
  readonly pool: OriginPool<FakeConnection>

  constructor(connectionsMax: number) {
    this.pool = new OriginPool<FakeConnection>({
      connectionsMax,
      open: () => this.#open(),
      onFree: () => { this.told.free += 1 },
      onEnded: () => { this.told.ended += 1 },
      onEmpty: () => { this.told.empty += 1 },
    })
  }

  #open(): FakeConnection | undefined {
    if (!this.hasRoom) return undefined
    const connection = new FakeConnection()
    this.opened.push(connection)
    return connection
  }
}

class Run {
  readonly #prng: Prng
  readonly #connectionsMax: number
  readonly #fakes: PoolOfFakes
  readonly #pool: OriginPool<FakeConnection>
  /** Of the connections ever opened, those that the model knows of. */
  #known = 0
  /** The one used last at the end. */
  #idle: FakeConnection[] = []
  #busy: FakeConnection[] = []
  /** Each with how often one had become free before. */
  readonly #making = new Map<FakeConnection, number>()
  /** Of these, those that were passed over. */
  readonly #stalled = new Set<FakeConnection>()
  #makingMax = CONNECTIONS_MAKING_MIN
  #releases = 0
  #wanted = 0
  readonly #expected = { free: 0, ended: 0, empty: 0 }

  constructor(prng: Prng) {
    this.#prng = prng
    this.#connectionsMax = prng.pick([1, 2, 5, CONNECTIONS_MAKING_MIN * 5])
    this.#fakes = new PoolOfFakes(this.#connectionsMax)
    this.#pool = this.#fakes.pool
  }

  step(operation: Operation): void {
    this.#operations[operation]()
    this.#compare()
  }

  readonly #operations: Readonly<Record<Operation, () => void>> = {
    want: () => {
      const count = this.#prng.between(1, this.#connectionsMax + 2)
      this.#pool.want(count)
      this.#wanted = Math.max(this.#wanted, count)
      this.#openWanted()
    },
    made: () => this.#made(),
    take: () => {
      if (this.#idle.length === 0) {
        assert.throws(() => this.#pool.take(), /no connection is free/)
        return
      }
      const connection = this.#pool.take()
      assert.equal(connection, this.#idle.pop(), 'not the one that was used last')
      this.#busy.push(connection)
    },
    release: () => {
      const connection = this.#pickBusy()
      if (connection === undefined) return
      this.#releases += 1
      this.#pool.release(connection)
      this.#enterIdle(connection)
    },
    drop: () => this.#drop(),
    lost: () => {
      if (this.#fakes.opened.length === 0) return
      const connection = this.#prng.pick(this.#fakes.opened)
      this.#pool.lost(connection)
      this.#lose(connection)
    },
    endLongestIdle: () => {
      const [longest] = this.#idle
      assert.equal(this.#pool.endLongestIdle(), longest !== undefined)
      if (longest !== undefined) this.#lose(longest)
    },
    closeIdle: () => {
      this.#pool.closeIdle()
      this.#expected.ended += this.#idle.length
      this.#idle = []
      this.#expectEmpty()
    },
    room: () => { this.#fakes.hasRoom = !this.#fakes.hasRoom },
    retry: () => {
      this.#pool.retry()
      this.#openWanted()
    },
    forgetWanted: () => {
      this.#pool.forgetWanted()
      this.#wanted = 0
    },
    passOver: () => {
      const fresh = [...this.#making.keys()].filter((each) => !this.#stalled.has(each))
      if (fresh.length === 0) return
      const connection = this.#prng.pick(fresh)
      this.#pool.passOver(connection)
      if (this.#stalled.size === CONNECTIONS_STALLED_MAX) return
      this.#stalled.add(connection)
      if (this.#wanted > 0) this.#wanted = Math.max(this.#wanted, 2 * this.#stalled.size)
      this.#openWanted()
    },
  }

  #made(): void {
    if (this.#making.size === 0) return
    const connection = this.#prng.pick([...this.#making.keys()])
    const freed = this.#releases - (this.#making.get(connection) as number)
    const isSlow = freed * 4 < this.#count
    this.#pool.made(connection)
    this.#making.delete(connection)
    this.#stalled.delete(connection)
    this.#makingMax = isSlow ? this.#makingMax + 1 : CONNECTIONS_MAKING_MIN
    this.#enterIdle(connection)
  }

  #drop(): void {
    const all = [...this.#busy, ...this.#making.keys()]
    if (all.length === 0) return
    const connection = this.#prng.pick(all)
    this.#pool.drop(connection)
    this.#busy = this.#busy.filter((other) => other !== connection)
    this.#making.delete(connection)
    this.#stalled.delete(connection)
    this.#ended()
  }

  #lose(connection: FakeConnection): void {
    const at = this.#idle.indexOf(connection)
    if (at < 0) return
    // The pool moves the last one into the gap.
    const last = this.#idle.pop() as FakeConnection
    if (last !== connection) this.#idle[at] = last
    this.#ended()
  }

  #ended(): void {
    this.#expected.ended += 1
    this.#openWanted()
    this.#expectEmpty()
  }

  #enterIdle(connection: FakeConnection): void {
    this.#idle.push(connection)
    if (this.#wanted > 0) this.#expected.free += 1
    this.#wanted = 0
  }

  #openWanted(): void {
    const fresh = (): number => this.#making.size - this.#stalled.size
    while (this.#fakes.hasRoom && this.#idle.length + fresh() < this.#wanted &&
      this.#count < this.#connectionsMax && fresh() < this.#makingMax) {
      const connection = this.#fakes.opened[this.#known++]
      assert(connection !== undefined, 'the pool did not open a connection')
      this.#making.set(connection, this.#releases)
    }
  }

  #pickBusy(): FakeConnection | undefined {
    if (this.#busy.length === 0) return undefined
    const connection = this.#prng.pick(this.#busy)
    this.#busy = this.#busy.filter((other) => other !== connection)
    return connection
  }

  get #count(): number {
    return this.#idle.length + this.#busy.length + this.#making.size
  }

  #expectEmpty(): void {
    if (this.#count === 0 && this.#wanted === 0) this.#expected.empty += 1
  }

  #compare(): void {
    assert.equal(this.#known, this.#fakes.opened.length, 'a connection was opened for nobody')
    assert.equal(this.#pool.connectionCount, this.#count)
    assert.equal(this.#pool.freeCount, this.#idle.length)
    assert.equal(this.#pool.isReached, this.#idle.length + this.#busy.length > 0)
    assert.equal(this.#pool.isWanted, this.#wanted > 0)
    assert.deepEqual(this.#fakes.told, this.#expected)
    for (const connection of this.#fakes.opened) {
      const at = this.#idle.indexOf(connection)
      const isHere = at >= 0 || this.#busy.includes(connection) || this.#making.has(connection)
      assert.equal(connection.destroyed, !isHere)
      assert.equal(connection.idleIndex, at)
      assert.equal(connection.inTheMaking, this.#making.has(connection))
      assert.equal(connection.isStalled, this.#stalled.has(connection))
    }
  }
}

it('agrees with its model after each step', () => {
  for (let seed = SEED; seed < SEED + SEEDS; seed++) {
    const prng = new Prng(seed)
    const on = OPERATIONS.filter((operation) => operation === 'want' || prng.chance(0.7))
    const run = new Run(prng)
    for (let step = 0; step < STEPS; step++) {
      const operation = prng.pick(on)
      try {
        run.step(operation)
      } catch (error) {
        assert.fail(`seed ${seed}, step ${step}, ${operation}: ${String(error)}`)
      }
    }
  }
})

it('ends everything on close, and what is lost afterwards is none of its business', async () => {
  const { opened, pool, told } = new PoolOfFakes(3)
  pool.want(3)
  pool.made(opened[0] as FakeConnection)
  pool.made(opened[1] as FakeConnection)
  pool.take()
  await pool.close()
  assert.deepEqual(opened.map((connection) => connection.destroyed), [true, true, true])
  for (const connection of opened) pool.lost(connection)
  assert.equal(pool.connectionCount, 0)
  assert.equal(told.empty, 0, 'a closed pool tells that it is empty')
})

describe('a burst', () => {
  /** Sends what waits on what is free, and asks for the rest. @returns what still waits. */
  const sendOn = (pool: OriginPool<FakeConnection>, waiting: number): number => {
    let left = waiting
    for (; left > 0 && pool.freeCount > 0; left--) pool.take()
    if (left > 0) pool.want(left)
    return left
  }

  it('at an upstream that answers at once needs few connections', () => {
    const { opened, pool } = new PoolOfFakes(1000)
    let waiting = sendOn(pool, 500)
    assert.equal(opened.length, CONNECTIONS_MAKING_MIN)
    // Every connection at work is answered in the time that it takes to make one.
    for (let rounds = 0; waiting > 0; rounds++) {
      assert(rounds < 500, 'the burst does not end')
      const making = opened.filter((connection) => connection.inTheMaking)
      const atWork = opened.filter(
        (connection) => !connection.inTheMaking && connection.idleIndex === -1)
      for (const connection of atWork) {
        pool.release(connection)
        waiting = sendOn(pool, waiting)
      }
      for (const connection of making) {
        pool.made(connection)
        waiting = sendOn(pool, waiting)
      }
    }
    assert(opened.length <= 100, `${opened.length} connections for 500 requests`)
  })

  it('at an upstream that is slow to answer gets twice as many with each round trip', () => {
    const { opened, pool } = new PoolOfFakes(1000)
    let waiting = sendOn(pool, 500)
    let rounds = 0
    for (; waiting > 0; rounds++) {
      for (const connection of opened.filter((each) => each.inTheMaking)) {
        pool.made(connection)
        waiting = sendOn(pool, waiting)
      }
    }
    assert.equal(opened.length, 500)
    assert(rounds <= Math.ceil(Math.log2(500 / CONNECTIONS_MAKING_MIN)), `${rounds} round trips`)
  })
})
