// Model: a list of connections, each idle since some time, at work or gone, and a list of waiters.
// Random operations, some of them off per seed; after each step pool and model must agree on who
// is served by which connection, who waits, and when nothing is left.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { OriginPool, type PooledConnection } from '../../shards/origin-pool.ts'
import { Prng } from '../../shards/prng.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261)
const SEEDS = 300
const STEPS = 200
const OPERATIONS = [
  'begin', 'begin', 'release', 'drop', 'replace', 'withdraw', 'lost', 'closeIdle',
] as const

class FakeConnection implements PooledConnection<number> {
  idleIndex = -1
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

class Run {
  readonly #prng: Prng
  readonly #connectionsMax: number
  readonly #pool: OriginPool<number, FakeConnection>
  /** Every connection ever opened, in order. */
  readonly #opened: FakeConnection[] = []
  /** Idle connections of the model, the one used last at the end. */
  #idle: FakeConnection[] = []
  /** What each connection at work serves. */
  readonly #busy = new Map<FakeConnection, number>()
  readonly #waiting: number[] = []
  #attempts = 0
  #emptied = 0
  #emptiedExpected = 0

  constructor(prng: Prng) {
    this.#prng = prng
    this.#connectionsMax = prng.between(1, 5)
    this.#pool = new OriginPool<number, FakeConnection>({
      connectionsMax: this.#connectionsMax,
      open: () => {
        const connection = new FakeConnection()
        this.#opened.push(connection)
        return connection
      },
      onEmpty: () => { this.#emptied += 1 },
    })
  }

  step(operation: (typeof OPERATIONS)[number]): void {
    const busy = [...this.#busy.keys()]
    const connection = busy.length > 0 ? this.#prng.pick(busy) : undefined
    if (operation === 'begin') this.#begin()
    else if (operation === 'withdraw') this.#withdraw()
    else if (operation === 'lost') this.#lost()
    else if (operation === 'closeIdle') this.#closeIdle()
    else if (connection !== undefined) this.#end(operation, connection)
    this.#compare()
  }

  #begin(): void {
    const attempt = this.#attempts++
    this.#pool.begin(attempt)
    const idle = this.#idle.pop()
    if (idle !== undefined) this.#busy.set(idle, attempt)
    else if (this.#busy.size < this.#connectionsMax) this.#busy.set(this.#newest(), attempt)
    else this.#waiting.push(attempt)
  }

  #end(operation: 'release' | 'drop' | 'replace', connection: FakeConnection): void {
    const attempt = this.#busy.get(connection) as number
    this.#busy.delete(connection)
    if (operation === 'replace') {
      this.#pool.replace(connection, attempt)
      this.#busy.set(this.#newest(), attempt)
      return
    }
    if (operation === 'release') this.#pool.release(connection)
    else this.#pool.drop(connection)
    const next = this.#waiting.shift()
    if (next !== undefined) {
      this.#busy.set(operation === 'release' ? connection : this.#newest(), next)
    } else if (operation === 'release') {
      this.#idle.push(connection)
    }
    if (operation === 'drop') this.#expectEmptied()
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

  #newest(): FakeConnection {
    return this.#opened.at(-1) as FakeConnection
  }

  #expectEmptied(): void {
    if (this.#idle.length + this.#busy.size === 0) this.#emptiedExpected += 1
  }

  #compare(): void {
    assert.equal(this.#pool.connectionCount, this.#idle.length + this.#busy.size)
    assert.equal(this.#pool.waitingCount, this.#waiting.length)
    assert.equal(this.#emptied, this.#emptiedExpected)
    for (const [connection, attempt] of this.#busy) assert.equal(connection.serving, attempt)
    for (const connection of this.#opened) {
      const here = this.#busy.has(connection) || this.#idle.includes(connection)
      assert.equal(connection.destroyed, !here)
      assert.equal(connection.idleIndex, this.#idle.indexOf(connection))
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
  const opened: FakeConnection[] = []
  const pool = new OriginPool<number, FakeConnection>({
    connectionsMax: 2,
    open: () => {
      const connection = new FakeConnection()
      opened.push(connection)
      return connection
    },
    onEmpty: () => assert.fail('a closed pool tells that it is empty'),
  })
  for (let attempt = 0; attempt < 3; attempt++) pool.begin(attempt)
  pool.withdraw(2)
  pool.release(opened[0] as FakeConnection)
  await pool.close()
  assert.deepEqual(opened.map((connection) => connection.destroyed), [true, true])
  for (const connection of opened) pool.lost(connection)
  assert.equal(pool.connectionCount, 0)
})
