// Model: a list of connections, each idle since some time, at work, perhaps still in the making, or
// gone, and a list of waiters. Random operations, some of them off per seed; after each step pool
// and model must agree on who is served by which connection, who waits, and when nothing is left.
// What model and pool have in common is the rule for how many may be in the making.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CONNECTIONS_MAKING_MIN } from '../../shards/limits.ts'
import { OriginPool, type PooledConnection } from '../../shards/origin-pool.ts'
import { Prng } from '../../shards/prng.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261)
const SEEDS = 300
const STEPS = 200
const OPERATIONS = [
  'begin', 'begin', 'made', 'made', 'release', 'drop', 'replace', 'withdraw', 'lost', 'closeIdle',
] as const

type Pool = OriginPool<number, FakeConnection>

class FakeConnection implements PooledConnection<number> {
  idleIndex = -1
  inTheMaking = false
  openedAfter = 0
  serving: number | undefined
  destroyed = false

  begin(attempt: number): void {
    assert.equal(this.destroyed, false, 'a destroyed connection is asked to serve')
    this.serving = attempt
  }

  async destroy(): Promise<void> {
    assert.equal(this.destroyed, false, 'a connection is destroyed twice')
    this.destroyed = true
  }
}

/** A pool, and every connection that it ever opened, in order. */
interface PoolOfFakes {
  readonly opened: readonly FakeConnection[]
  readonly pool: Pool
}

function makePool(connectionsMax: number, onEmpty: () => void): PoolOfFakes {
  const opened: FakeConnection[] = []
  const open = (): FakeConnection => {
    const connection = new FakeConnection()
    opened.push(connection)
    return connection
  }
  return { opened, pool: new OriginPool<number, FakeConnection>({ connectionsMax, open, onEmpty }) }
}

class Run {
  readonly #prng: Prng
  readonly #connectionsMax: number
  readonly #pool: Pool
  /** Every connection ever opened, in order. */
  readonly #opened: readonly FakeConnection[]
  /** Those of them that the model knows of. */
  #known = 0
  /** Idle connections of the model, the one used last at the end. */
  #idle: FakeConnection[] = []
  /** What each connection at work serves. */
  readonly #busy = new Map<FakeConnection, number>()
  /** Of those the ones being made, each with how often one had become free before. */
  readonly #making = new Map<FakeConnection, number>()
  #makingMax = CONNECTIONS_MAKING_MIN
  #releases = 0
  readonly #waiting: number[] = []
  #attempts = 0
  #emptied = 0
  #emptiedExpected = 0

  constructor(prng: Prng) {
    this.#prng = prng
    this.#connectionsMax = prng.pick([1, 2, 5, CONNECTIONS_MAKING_MIN * 5])
    const { opened, pool } = makePool(this.#connectionsMax, () => { this.#emptied += 1 })
    this.#opened = opened
    this.#pool = pool
  }

  step(operation: (typeof OPERATIONS)[number]): void {
    if (operation === 'begin') this.#begin()
    else if (operation === 'made') this.#made()
    else if (operation === 'withdraw') this.#withdraw()
    else if (operation === 'lost') this.#lost()
    else if (operation === 'closeIdle') this.#closeIdle()
    else this.#end(operation)
    this.#compare()
  }

  #begin(): void {
    const attempt = this.#attempts++
    this.#pool.begin(attempt)
    this.#place(attempt)
  }

  /** Where an attempt goes that has no connection. */
  #place(attempt: number): void {
    const idle = this.#idle.pop()
    if (idle !== undefined) this.#busy.set(idle, attempt)
    else if (this.#mayOpen()) this.#open(attempt)
    else this.#waiting.push(attempt)
  }

  #mayOpen(): boolean {
    return this.#idle.length + this.#busy.size < this.#connectionsMax &&
      this.#making.size < this.#makingMax
  }

  #open(attempt: number): void {
    const connection = this.#opened[this.#known++]
    assert(connection !== undefined, 'the pool did not open a connection')
    this.#busy.set(connection, attempt)
    this.#making.set(connection, this.#releases)
  }

  #openForWaiting(): void {
    while (this.#waiting.length > 0 && this.#mayOpen()) this.#open(this.#waiting.shift() as number)
  }

  #made(): void {
    if (this.#busy.size === 0) return
    const connection = this.#prng.pick([...this.#busy.keys()])
    this.#pool.made(connection)
    const releasesBefore = this.#making.get(connection)
    if (releasesBefore === undefined) return
    this.#making.delete(connection)
    const isSlow = (this.#releases - releasesBefore) * 4 < this.#idle.length + this.#busy.size
    this.#makingMax = isSlow ? this.#makingMax + 1 : CONNECTIONS_MAKING_MIN
    this.#openForWaiting()
  }

  #end(operation: 'release' | 'drop' | 'replace'): void {
    const connections = [...this.#busy.keys()]
      .filter((connection) => operation === 'drop' || !this.#making.has(connection))
    if (connections.length === 0) return
    const connection = this.#prng.pick(connections)
    const attempt = this.#busy.get(connection) as number
    this.#busy.delete(connection)
    this.#making.delete(connection)
    if (operation === 'release') {
      this.#pool.release(connection)
      this.#releases += 1
      const next = this.#waiting.shift()
      if (next === undefined) this.#idle.push(connection)
      else this.#busy.set(connection, next)
    } else if (operation === 'replace') {
      this.#pool.replace(connection, attempt)
      this.#place(attempt)
    } else {
      this.#pool.drop(connection)
      this.#openForWaiting()
      this.#expectEmptied()
    }
  }

  #withdraw(): void {
    const attempt = this.#prng.below(this.#attempts + 1)
    const at = this.#waiting.indexOf(attempt)
    assert.equal(this.#pool.withdraw(attempt), at >= 0)
    if (at >= 0) this.#waiting.splice(at, 1)
  }

  #lost(): void {
    if (this.#opened.length === 0) return
    const connection = this.#prng.pick(this.#opened)
    this.#pool.lost(connection)
    const at = this.#idle.indexOf(connection)
    if (at < 0) return
    // The pool moves the last one into the gap.
    const last = this.#idle.pop() as FakeConnection
    if (last !== connection) this.#idle[at] = last
    this.#expectEmptied()
  }

  #closeIdle(): void {
    this.#pool.closeIdle()
    this.#idle = []
    this.#expectEmptied()
  }

  #expectEmptied(): void {
    if (this.#idle.length + this.#busy.size === 0) this.#emptiedExpected += 1
  }

  #compare(): void {
    assert.equal(this.#known, this.#opened.length, 'a connection was opened that nobody needs')
    assert.equal(this.#pool.connectionCount, this.#idle.length + this.#busy.size)
    assert.equal(this.#pool.waitingCount, this.#waiting.length)
    assert.equal(this.#emptied, this.#emptiedExpected)
    for (const [connection, attempt] of this.#busy) assert.equal(connection.serving, attempt)
    for (const connection of this.#opened) {
      const here = this.#busy.has(connection) || this.#idle.includes(connection)
      assert.equal(connection.destroyed, !here)
      assert.equal(connection.idleIndex, this.#idle.indexOf(connection))
      assert.equal(connection.inTheMaking, this.#making.has(connection))
    }
  }
}

it('agrees with its model after each step', () => {
  for (let seed = SEED; seed < SEED + SEEDS; seed++) {
    const prng = new Prng(seed)
    const on = OPERATIONS.filter((operation) => operation === 'begin' || prng.chance(0.7))
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
  const { opened, pool } =
    makePool(2, () => assert.fail('a closed pool tells that it is empty'))
  for (let attempt = 0; attempt < 3; attempt++) pool.begin(attempt)
  pool.withdraw(2)
  pool.made(opened[0] as FakeConnection)
  pool.release(opened[0] as FakeConnection)
  await pool.close()
  assert.deepEqual(opened.map((connection) => connection.destroyed), [true, true])
  for (const connection of opened) pool.lost(connection)
  assert.equal(pool.connectionCount, 0)
})

describe('a burst', () => {
  const burst = (count: number): PoolOfFakes => {
    const made = makePool(1000, () => {})
    for (let attempt = 0; attempt < count; attempt++) made.pool.begin(attempt)
    return made
  }

  it('at an upstream that answers at once needs few connections', () => {
    const { opened, pool } = burst(500)
    assert.equal(opened.length, CONNECTIONS_MAKING_MIN)
    // Every connection at work is answered in the time that it takes to make one.
    for (let rounds = 0; pool.waitingCount > 0; rounds++) {
      assert(rounds < 500, 'the burst does not end')
      const making = opened.filter((connection) => connection.inTheMaking)
      const atWork = opened.filter((connection) => !connection.inTheMaking)
      for (const connection of atWork) pool.release(connection)
      for (const connection of making) pool.made(connection)
    }
    assert(opened.length <= 100, `${opened.length} connections for 500 requests`)
  })

  it('at an upstream that is slow to answer gets twice as many with each round trip', () => {
    const { opened, pool } = burst(500)
    let rounds = 0
    for (; pool.waitingCount > 0; rounds++) {
      for (const connection of opened.filter((each) => each.inTheMaking)) pool.made(connection)
    }
    assert.equal(opened.length, 500)
    assert(rounds <= Math.ceil(Math.log2(500 / CONNECTIONS_MAKING_MIN)), `${rounds} round trips`)
  })
})
