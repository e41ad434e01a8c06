// Model: a Map from a template's bytes to the number of jobs that refer to it.
// Method: random sharing, adding, releasing, cleaning of the log and deaths of the thread, with
// hashes that collide in some runs and tables that fill up; after each step both must agree.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { KIB, type Location, NONE, type TemplateSlot } from '../../../../shards/base/units.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import { JobLog, LOG_RESULT_INLINE, type LogOwners } from '../../../../shards/store/job-log.ts'
import { Templates } from '../../../../shards/store/templates.ts'
import { logMemory } from '../../../support/log-memory.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'
import { templateSource } from '../../../support/template-source.ts'

const RUNS = 200
const STEPS = 300

/** What a job's slot says: which template it refers to, and by the model, with which bytes. */
interface Job { readonly slot: TemplateSlot; readonly text: string }

class Run {
  readonly #prng: Prng
  readonly #attach: () => ShardViews
  readonly #texts: readonly string[]
  readonly #slotsMax: number
  /** Jobs are facts: they outlive the thread. */
  readonly #jobs: Job[] = []
  readonly #hashesMax: number
  readonly #owners: LogOwners = {
    isLive: (kind, owner, at) => kind !== LOG_RESULT_INLINE && this.#templates.isLive(owner, at),
    moved: (_kind, owner, to) => this.#templates.moved(owner, to),
  }
  #log: JobLog
  #templates: Templates

  constructor(prng: Prng) {
    this.#prng = prng
    this.#slotsMax = prng.between(1, 20)
    this.#hashesMax = prng.pick([1, 4, 2 ** 32])
    this.#attach = logMemory(2 * KIB, 12, this.#slotsMax).attach
    this.#texts = Array.from({ length: prng.between(1, 40) }, (_, at) =>
      `${at}`.padStart(prng.between(2, 300), '.'))
    const views = this.#attach()
    this.#log = new JobLog(views, { recover: false })
    this.#templates = new Templates(views, this.#log, { recover: false })
  }

  share(): void {
    const text = this.#prng.pick(this.#texts)
    const known = this.#jobs.some((job) => job.text === text)
    const { used } = this.#templates
    const source = templateSource(`in front${text} behind`)
    const hash = this.#hashOf(text)
    const slot = this.#templates.share(hash, source, 8, 8 + text.length)
    if (slot === NONE) {
      assert.equal(known, false, 'a template in use was not found')
      return
    }
    assert.equal(this.#templates.used, known ? used : used + 1)
    this.#jobs.push({ slot: slot as TemplateSlot, text })
  }

  addReference(): void {
    if (this.#jobs.length === 0) return
    const job = this.#prng.pick(this.#jobs)
    this.#templates.addReference(job.slot)
    this.#jobs.push(job)
  }

  release(): void {
    const job = this.#takeJob()
    if (job !== undefined) this.#templates.release(job.slot)
  }

  clean(): void {
    // Something that dies at once, so that segments close and there is something to clean.
    const at = this.#log.append(LOG_RESULT_INLINE, 1, 0, Buffer.alloc(1500), 0, 1500, true)
    if (at !== NONE) this.#log.free(at as Location)
    this.#log.clean(this.#prng.pick([1, 2 * KIB]), this.#owners)
    this.#log.makeRoom(1500, this.#owners)
  }

  /** The thread dies; a reference or a new template may be half written down. */
  die(): void {
    if (this.#prng.chance(0.5)) this.#takeJob()
    else this.#templates.share(this.#prng.uint32(), templateSource('unused'), 0, 6)
    const views = this.#attach()
    this.#log = new JobLog(views, { recover: true })
    this.#templates = new Templates(views, this.#log, { recover: true })
    this.#log.recover(this.#owners)
    for (const { slot } of this.#jobs) this.#templates.addReference(slot)
    this.#templates.finishRecovery()
  }

  /** Another thread goes on. */
  handOver(): void {
    const views = this.#attach()
    const baton = structuredClone([this.#log.handOver(), this.#templates.handOver()] as const)
    this.#log = new JobLog(views, { recover: true })
    this.#log.takeOver(baton[0])
    this.#templates = new Templates(views, this.#log, { recover: true, takesOver: true })
    this.#templates.takeOver(baton[1])
  }

  check(): void {
    const counts = new Map<string, number>()
    const slots = new Map<string, TemplateSlot>()
    for (const { slot, text } of this.#jobs) {
      counts.set(text, (counts.get(text) ?? 0) + 1)
      assert.equal(slots.get(text) ?? slot, slot, 'one template in two slots')
      slots.set(text, slot)
    }
    assert.equal(this.#templates.used, counts.size)
    for (const [text, count] of counts) {
      const slot = slots.get(text) as TemplateSlot
      assert.equal(this.#templates.referencesOf(slot), count)
      const at = this.#templates.locationOf(slot)
      const bytes = this.#log.bytesOf(at).subarray(this.#log.startOf(at), this.#log.endOf(at))
      assert.equal(bytes.toString(), text)
    }
    this.#log.verify(this.#owners)
  }

  drain(): void {
    while (this.#jobs.length > 0) this.release()
    assert.equal(this.#templates.used, 0)
    assert.equal(this.#log.liveBytes, 0)
  }

  #hashOf(text: string): number {
    let hash = text.length
    for (const letter of text) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0
    return hash % this.#hashesMax
  }

  #takeJob(): Job | undefined {
    if (this.#jobs.length === 0) return undefined
    return this.#jobs.splice(this.#prng.below(this.#jobs.length), 1)[0]
  }
}

test('templates count what a map counts, through cleaning and deaths', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'share', ['addReference', 'release', 'clean', 'die', 'handOver'])
    for (let step = 0; step < STEPS; step++) {
      run[swarm.next()]()
      run.check()
    }
    run.drain()
  })
})

test('a part becomes a template at its second coming, and is free after its last job', () => {
  const views = logMemory(4 * KIB, 8, 1).attach()
  const log = new JobLog(views, { recover: false })
  const templates = new Templates(views, log, { recover: false })
  const part = templateSource('https://example.org/ POST')
  assert.equal(templates.share(7, part, 0, 25), NONE)
  const slot = templates.share(7, part, 0, 25) as TemplateSlot
  assert.equal(templates.share(7, part, 0, 25), slot)
  const other = templateSource('https://example.com/ POST')
  assert.equal(templates.share(8, other, 0, 25), NONE)
  assert.equal(templates.share(8, other, 0, 25), NONE, 'the only slot is taken')
  templates.release(slot)
  templates.release(slot)
  assert.throws(() => templates.release(slot), /more often/)
  assert.throws(() => templates.addReference(slot), /free/)
  assert.notEqual(templates.share(8, other, 0, 25), NONE)
})
