// Model: the decoder. What the walk over a binary frame finds, and what a known shape stands for,
// has to be what decoding the same bytes says.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { NONE, type UpstreamSlot } from '../../../../shards/base/units.ts'
import { decodeUntrusted, encodeValue } from '../../../../shards/wire/codec.ts'
import { OPERATOR } from '../../../../src/access/principal.ts'
import { JobIdSource } from '../../../../src/base/job-id.ts'
import { JobUrls } from '../../../../src/job/job-url.ts'
import { readRef } from '../../../../src/job/read-ref.ts'
import { validateJob, type ValidJob } from '../../../../src/job/validate.ts'
import { PackedFrame } from '../../../../src/shapes/packed-frame.ts'
import { PackedShapes } from '../../../../src/shapes/packed-shapes.ts'
import { Submitter } from '../../../../src/submit/enqueue.ts'
import { forEachSeed } from '../../../support/swarm.ts'
import { templateOf } from '../../../support/template-of.ts'

const SEEDS = 300
const FRAMES = 40
const OWNER = OPERATOR

/** What a job means, but for its ref. */
interface Meaning {
  readonly key: string
  readonly body: string | null
  readonly template: string
  readonly flags: number
}

class Reader {
  matches = 0
  unreadable = 0
  readonly #frame = new PackedFrame(12_345)
  readonly #shapes = new PackedShapes()
  readonly #urls = new JobUrls()
  readonly #submitter: Submitter

  constructor(prng: Prng) {
    const ids = new JobIdSource((words) => { words.forEach((_, at) => words[at] = prng.uint32()) })
    this.#submitter = new Submitter(new Uint8Array(32).fill(3), ids)
  }

  /** Looks at a frame as Submissions.submitPacked() does, and compares. */
  read(bytes: Buffer): void {
    const frame = this.#frame
    const decoded = decodeUntrusted(bytes)
    const message = (decoded.ok ? decoded.value : undefined) as { jobs?: unknown[] } | undefined
    if (!frame.scan(bytes)) return
    if (decoded.ok) assert.equal(frame.count, message?.jobs?.length)
    let unreadable = 0
    for (let at = 0; at < frame.count; at++) {
      const isUsual = frame.open(at)
      const { end, holes, start } = { ...frame.holes, holes: frame.holes }
      const alone = decodeUntrusted(bytes.subarray(start, end))
      if (!alone.ok) {
        unreadable++
        // A text that is not UTF-8, which only the decoder looks at.
        const isLookedUp = isUsual && frame.ref() !== undefined
        if (isLookedUp) assert.equal(this.#shapes.match(frame), undefined)
        continue
      }
      const value = alone.value as Record<string, unknown>
      if (decoded.ok) assert.deepEqual(value, message?.jobs?.[at])
      if (!isUsual) continue
      const ref = frame.ref()
      if (ref !== undefined) assert.equal(ref, readRef(value['ref']))
      const job = validateJob(value, '', this.#urls)
      const known = this.#shapes.match(frame)
      if (known !== undefined) {
        this.matches++
        assert.ok(job.ok, 'a known shape is that of a valid job')
        assert.deepEqual({
          key: bytes.toString('utf8', holes.keyStart, holes.keyEnd),
          body: holes.hasBody ? bytes.toString('latin1', holes.bodyStart, holes.bodyEnd) : null,
          template: templateOf(known).toString('hex'), flags: known.flags,
        }, this.#meaning(job))
      } else if (job.ok) this.#shapes.learn(frame, job, this.#outline(job))
    }
    assert.equal(unreadable > 0, !decoded.ok, 'what was walked over is whole, but for its texts')
    this.unreadable += unreadable
  }

  #outline(job: ValidJob): ReturnType<Submitter['outline']> {
    return this.#submitter.outline(
      job, OWNER, this.#submitter.user(job, OWNER), 1 as UpstreamSlot, NONE as UpstreamSlot)
  }

  #meaning(job: ValidJob): Meaning {
    const outline = this.#outline(job)
    return {
      key: job.idempotentKey, flags: outline.flags, template: templateOf(outline).toString('hex'),
      body: job.body === null ? null : Buffer.from(job.body).toString('latin1'),
    }
  }
}

const BODIES: readonly unknown[] = [
  'plain', '', 'x'.repeat(40), 'x'.repeat(300), 'ü and 日本', Buffer.from([1, 255, 0]), undefined,
  null, 7, Buffer.alloc(70_000, 'y').toString(), '\ud83d\ude80', 'body', 'ref',
]
const REFS: readonly unknown[] = [
  0, 1, 127, 128, 255, 256, 65_536, 2 ** 32, -1, 1.5, 'r', 'ü', '', 'x'.repeat(31), 'x'.repeat(40),
  null, undefined, [1],
]
const KEYS: readonly unknown[] = ['k', 'key-1', 'ü', '', 'x'.repeat(513), 7, undefined]
const OTHERS: readonly Readonly<Record<string, unknown>>[] = [
  {}, { max_retries: 3 }, { headers: { 'Content-Length': '5' } }, { headers: { a: 'b' } },
  { body_base64: 'aGk=' }, { nested: { ref: 1, body: 'no', idempotent_key: 'no' } },
  { bodies: 'no' }, { webhook_url: 'http://hook.example/' }, { execute_before: 99_000 },
]

const pick = <T>(prng: Prng, values: readonly T[]): T => values[prng.below(values.length)] as T
/** Mostly the first few. */
const lean = <T>(prng: Prng, values: readonly T[]): T =>
  prng.chance(0.8) ? values[prng.below(2)] as T : pick(prng, values)

/** A job with its fields in one of a few orders, and sometimes one of them twice. */
function encodeJob(prng: Prng): Buffer {
  const fields: [string, unknown][] = [
    ['user_id', pick(prng, ['ann', 'bob'])], ['url', 'http://api.example/v1'], ['method', 'POST'],
    ['delivery', 'poll'], ['ref', lean(prng, REFS)], ['idempotent_key', lean(prng, KEYS)],
    ['body', lean(prng, BODIES)], ...Object.entries(lean(prng, OTHERS)),
  ]
  const turned = prng.chance(0.8) ? 3 * prng.below(2) : prng.below(fields.length)
  const ordered = [...fields.slice(turned), ...fields.slice(0, turned)]
    .filter(([, value]) => value !== undefined)
  if (prng.chance(0.1)) ordered.push(pick(prng, ordered))
  const isWide = prng.chance(0.1)
  return Buffer.concat([
    Buffer.from(isWide ? [0xde, 0, ordered.length] : [0x80 + ordered.length]),
    ...ordered.flatMap(([name, value]) => [encode(name), encode(value)]),
  ])
}

const encode = (value: unknown): Buffer => Buffer.from(encodeValue(value))

function encodeFrame(prng: Prng): Buffer {
  const jobs = Array.from({ length: prng.below(6) },
    () => prng.chance(0.95) ? encodeJob(prng) : encode(pick(prng, [7, null, [], 'job'])))
  const type = [encode('type'), encode('enqueue')]
  const list = [encode('jobs'), Buffer.from([0xdc, 0, jobs.length]), ...jobs]
  const parts = prng.chance(0.5) ? [...type, ...list] : [...list, ...type]
  const bytes = Buffer.concat([Buffer.from([0x82]), ...parts])
  if (prng.chance(0.2)) bytes[prng.below(bytes.length)] = prng.below(256)
  return prng.chance(0.1) ? bytes.subarray(0, prng.below(bytes.length)) : bytes
}

test('what is found in a frame is what decoding finds', () => {
  let matches = 0
  let unreadable = 0
  forEachSeed(SEEDS, (prng) => {
    const reader = new Reader(prng)
    for (let frame = 0; frame < FRAMES; frame++) reader.read(encodeFrame(prng))
    matches += reader.matches
    unreadable += reader.unreadable
  })
  assert.ok(matches > SEEDS, `only ${matches} jobs had a known shape`)
  assert.ok(unreadable > SEEDS / 10, `only ${unreadable} jobs had a text that is not UTF-8`)
})
