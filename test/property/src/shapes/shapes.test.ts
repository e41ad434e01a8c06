// Jobs that are known by their shape mean what a full parse says they mean: for every text that is
// matched, key, body and all the rest are compared with the parser's; texts are drawn in many
// spellings, with traps, and mutated byte by byte.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { NONE, type UpstreamSlot } from '../../../../shards/base/units.ts'
import { OPERATOR } from '../../../../src/access/principal.ts'
import { JobIdSource } from '../../../../src/base/job-id.ts'
import { JobUrls } from '../../../../src/job/job-url.ts'
import { parseBody } from '../../../../src/job/parse-body.ts'
import { validateJob, type ValidJob } from '../../../../src/job/validate.ts'
import { JobHoles } from '../../../../src/shapes/job-holes.ts'
import { JobText } from '../../../../src/shapes/scan/job-text.ts'
import { JsonScanner } from '../../../../src/shapes/scan/json-scanner.ts'
import { makeProbes, Shapes } from '../../../../src/shapes/shapes.ts'
import { Submitter } from '../../../../src/submit/enqueue.ts'
import { forEachSeed } from '../../../support/swarm.ts'
import { templateOf } from '../../../support/template-of.ts'

const RUNS = 200
const TEXTS = 120
const TEXT_BYTES_MAX = 4096

/** What a job comes to: all of it, as the parser reads it. */
interface Meaning {
  readonly key: string
  readonly body: string | null
  readonly template: string
}

/** A front door's way with a text, without the front door. */
class Reader {
  matches = 0
  readonly #shapes: Shapes
  readonly #holes = new JobHoles()
  readonly #text = new JobText(TEXT_BYTES_MAX)
  readonly #scanner = new JsonScanner(this.#text, 7)
  readonly #urls = new JobUrls()
  readonly #submitter: Submitter

  constructor(prng: Prng) {
    const ids = new JobIdSource((words) => { words.forEach((_, at) => words[at] = prng.uint32()) })
    this.#shapes = new Shapes(this.#text, makeProbes(ids))
    this.#submitter = new Submitter(new Uint8Array(32).fill(3), ids)
  }

  /** Looks at a text as Core.submit() does; asserts that what is matched means what it should. */
  read(text: Buffer): void {
    this.#text.take(text)
    const isScanned = this.#scanner.scan(this.#holes)
    const outline = isScanned ? this.#shapes.match(this.#holes) : undefined
    const parsed = this.#parse(text)
    const expected = parsed === undefined ? undefined : this.#meaning(parsed)
    if (outline !== undefined) {
      this.#scanner.expectTheSame()
      this.matches++
      const { keyStart, keyEnd, hasBody, body, bodyStart, bodyEnd } = this.#holes
      assert.deepEqual({
        key: text.toString('utf8', keyStart, keyEnd),
        body: hasBody ? body.toString('utf8', bodyStart, bodyEnd) : null,
        template: templateOf(outline).toString('hex'),
      }, expected, text.toString())
    } else if (parsed !== undefined && isScanned &&
      this.#shapes.isWorthLearning(parsed, this.#holes)) {
      const user = this.#submitter.user(parsed, OWNER)
      const fresh = this.#submitter.outline(
        parsed, OWNER, user, 1 as UpstreamSlot, NONE as UpstreamSlot)
      this.#shapes.learn(this.#holes, fresh)
    }
  }

  #parse(text: Buffer): ValidJob | undefined {
    const parsed = parseBody(text, 'json')
    const job = parsed.ok ? validateJob(parsed.value, '', this.#urls) : parsed
    return job.ok ? job : undefined
  }

  #meaning(job: ValidJob): Meaning {
    const user = this.#submitter.user(job, OWNER)
    const outline = this.#submitter.outline(
      job, OWNER, user, 1 as UpstreamSlot, NONE as UpstreamSlot)
    return {
      key: job.idempotentKey,
      body: job.body === null ? null : Buffer.from(job.body).toString(),
      template: templateOf(outline).toString('hex'),
    }
  }
}

const OWNER = OPERATOR
const BODIES = [
  'plain', '', '{"model":"m","text":"say \\" it"}', 'a\nb\tc\\d/e', 'ü and 日本', '"body":"x"',
  '{"idempotent_key":"inner"}', '\u0001 control', '\ud83d\ude80',
]
const KEYS = ['k', 'key-1', 'key "quoted"', 'kü', 'x'.repeat(512), 'x'.repeat(513), '', '\\']

/** One field after the other as JSON, in an order and with blanks that a caller might choose. */
function drawText(prng: Prng, spelling: Spelling): Buffer {
  const { order, blank, user, traps } = spelling
  const key = prng.chance(0.3) ? prng.pick(KEYS) : `key-${prng.below(50)}`
  const body = prng.chance(0.5) ? prng.pick(BODIES) : `body ${prng.below(1000)}`
  const fields: Record<string, string> = {
    user_id: JSON.stringify(user), idempotent_key: JSON.stringify(key),
    url: '"https://a.example/x"', method: '"POST"', body: JSON.stringify(body),
    delivery: '"poll"', headers: '{"Authorization":"Bearer 1","X-body":"\\"body\\":\\"no\\""}',
  }
  const parts = order.filter((name) => name in fields)
    .map((name) => `"${name}":${blank}${fields[name] as string}`)
  for (const trap of traps) parts.splice(prng.below(parts.length + 1), 0, trap)
  return Buffer.from(`{${parts.join(`,${blank}`)}}`)
}

interface Spelling {
  readonly order: readonly string[]
  readonly blank: string
  readonly user: string
  readonly traps: readonly string[]
}

const TRAPS = [
  '"idempotent_key":"twice"', '"body":"twice"', '"extra":{"body":"inside","idempotent_key":"in"}',
  '"x":"idempotent_key","y":"body"', '"body":null', '"body_base64":"AAAA"', '"antibody":"b"',
  '"max_retries":3', '"execute_before":99999999999999', '"list":["body","idempotent_key"]',
  '"idempotent\\u005fkey":"escaped name"', '"my_idempotent_key":"other"',
]
const NAMES = ['user_id', 'idempotent_key', 'url', 'method', 'headers', 'body', 'delivery']

function drawSpelling(prng: Prng): Spelling {
  const order = NAMES.toSorted(() => prng.unit() - 0.5)
  if (prng.chance(0.2)) order.splice(order.indexOf('body'), 1)
  return {
    order, blank: prng.pick(['', '', ' ', '\n  ']), user: `user-${prng.below(5)}`,
    traps: prng.chance(0.4) ? [prng.pick(TRAPS)] : prng.chance(0.2)
      ? [prng.pick(TRAPS), prng.pick(TRAPS)] : [],
  }
}

test('what is known by its shape means what the parser reads', () => {
  let matches = 0
  forEachSeed(RUNS, (prng) => {
    const reader = new Reader(prng)
    const spellings = Array.from({ length: 1 + prng.below(4) }, () => drawSpelling(prng))
    for (let count = 0; count < TEXTS; count++) {
      const text = drawText(prng, prng.pick(spellings))
      for (let bytes = prng.chance(0.3) ? 1 + prng.below(3) : 0; bytes > 0; bytes--) {
        text[prng.below(text.length)] = prng.chance(0.5) ? prng.below(256) : 0x22
      }
      reader.read(text)
    }
    matches += reader.matches
  })
  assert.ok(matches > RUNS * TEXTS / 10, `only ${matches} texts were matched`)
})

test('a shape is known from the third time on, whatever key and body', () => {
  forEachSeed(5, (prng) => {
    const reader = new Reader(prng)
    const job = (key: string, body: string): Buffer => Buffer.from(JSON.stringify({
      user_id: 'u', idempotent_key: key, url: 'https://a.example/', method: 'POST', body,
      delivery: 'poll',
    }))
    reader.read(job('1', 'first'))
    reader.read(job('2', 'second'))
    assert.equal(reader.matches, 0)
    reader.read(job('3', 'a\nline'))
    reader.read(job('4', ''))
    assert.equal(reader.matches, 2)
  })
})
