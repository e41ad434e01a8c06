// Model: a shard's memory that changes at random. Its batches are written to tails that end where
// a thread may end: at any byte of a batch, behind it, or in the middle of a segment's records.
// Method: tails are taken into the store meanwhile, with ends of the compactor between a commit and
// what follows it; at each start all facts are compared with the model's.

import assert from 'node:assert/strict'
import {
  appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import type { Micros } from '../../../../shards/base/units.ts'
import { tailName } from '../../../../shards/journal/tail-names.ts'
import { JOURNAL_SEQUENCE } from '../../../../shards/memory/journal-words.ts'
import { allocateShard, attachShard } from '../../../../shards/memory/layout.ts'
import { loadShard } from '../../../../src/journal/load.ts'
import { JournalStore } from '../../../../src/journal/store.ts'
import { Tails } from '../../../../src/journal/tails.ts'
import { JournalModel, MODEL_LIMITS } from '../../../support/journal-model.ts'
import { SEED, Swarm } from '../../../support/swarm.ts'
import { quickFolder } from '../../../support/temporary-folder.ts'

const RUNS = 200
const STEPS = 30
const NOW_US = 5e9 as Micros
const BOOT = 'the only boot'
const NOTHING = { boot: BOOT, tail: 0, sequence: 0, accepted: 0 }

const OPERATIONS = ['tail', 'torn', 'repeated', 'keep', 'keepTwice', 'restart'] as const

class Run {
  readonly #prng: Prng
  readonly #folder: string
  readonly #model: JournalModel
  #store: JournalStore
  #tail = 1
  #sequence = 0

  constructor(prng: Prng, folder: string) {
    this.#prng = prng
    this.#folder = folder
    this.#model = new JournalModel(prng)
    this.#store = this.#open()
  }

  async step(operation: 'batch' | (typeof OPERATIONS)[number]): Promise<void> {
    switch (operation) {
      case 'batch': return this.#batch()
      case 'tail': return this.#nextTail()
      case 'torn': return this.#torn(false)
      case 'repeated': return this.#torn(true)
      case 'keep': return this.#keep(false)
      case 'keepTwice': return this.#keep(true)
      case 'restart': return this.restart()
    }
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async restart(): Promise<void> {
    await this.#store.close()
    this.#store = this.#open()
    const taken = this.#tails.takeAll(this.#state, false, () => {})
    assert.ok(taken.ok, taken.ok ? '' : taken.problem)
    assert.equal(taken.dropped, null)
    const views = attachShard(allocateShard(MODEL_LIMITS), MODEL_LIMITS)
    const loaded = loadShard({
      store: this.#store, state: taken.state, views, boot: BOOT,
      nowUs: NOW_US, known: () => {}, progress: () => {},
    })
    assert.ok(loaded.ok, loaded.ok ? '' : loaded.problem)
    assert.equal(views.journal[JOURNAL_SEQUENCE], this.#sequence)
    this.#model.equals(views, NOW_US)
    this.#model.adopt(views)
    if (this.#prng.chance(0.5)) return this.#nextTail()
    this.#model.cutLog()
    this.#nextTail()
    this.#batch()
  }

  #open(): JournalStore {
    const opened = JournalStore.open(path.join(this.#folder, 'store'), 2 ** 20, true)
    assert.ok(opened.ok, opened.ok ? '' : opened.problem)
    return opened.store
  }

  get #tails(): Tails {
    return new Tails(this.#folder, this.#store)
  }

  get #state(): typeof NOTHING {
    const { state } = this.#store
    assert.ok(typeof state !== 'string', 'a state that cannot be read')
    return state ?? NOTHING
  }

  get #file(): string {
    return path.join(this.#folder, tailName(this.#tail))
  }

  #nextTail(): void {
    this.#tail++
  }

  #bytes(): Buffer {
    this.#model.change()
    return this.#model.batch(this.#sequence + 1, NOW_US)
  }

  #batch(): void {
    appendFileSync(this.#file, this.#bytes())
    this.#model.written()
    this.#sequence++
  }

  /** A thread ends; the next one says all of it again, and more. */
  #torn(isWhole: boolean): void {
    const bytes = this.#bytes()
    const length = isWhole ? bytes.length : this.#prng.below(bytes.length)
    appendFileSync(this.#file, bytes.subarray(0, length))
    // What an attempt that failed has left behind it.
    if (isWhole && this.#prng.chance(0.3)) {
      appendFileSync(this.#file, bytes.subarray(8 * this.#prng.below(bytes.length / 8)))
    }
    this.#model.cutLog()
    this.#nextTail()
    this.#batch()
  }

  /** @param again the compactor ends before it has removed what it took. */
  #keep(again: boolean): void {
    if (!again) {
      this.#tails.takeOldest(this.#state)
      return
    }
    const [oldest] = this.#tails.list()
    const file = path.join(this.#folder, tailName(oldest ?? 0))
    const aside = path.join(this.#folder, 'aside')
    if (existsSync(file)) copyFileSync(file, aside)
    this.#tails.takeOldest(this.#state)
    if (existsSync(aside)) writeFileSync(file, readFileSync(aside))
  }
}

test('whatever ends where, a start finds what was written', async (t) => {
  const folder = quickFolder(t)
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    const prng = new Prng(seed)
    const own = path.join(folder, String(seed))
    mkdirSync(own)
    const run = new Run(prng, own)
    const swarm = new Swarm(prng, 'batch', OPERATIONS)
    try {
      for (let step = 0; step < STEPS; step++) await run.step(swarm.next())
      await run.restart()
    } catch (error) {
      assert.fail(`SLUICE_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`)
    } finally {
      await run.close()
      rmSync(own, { recursive: true })
    }
  }
})
