// Model: MurmurHash3 as it is written down, and a job's fingerprint over the texts and bytes that a
// caller has given.
// Method: random jobs, encoded at every place in a word; then one of what counts changes, or one of
// what does not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { fingerprintOf, hashSpan } from '../../../../shards/job/fingerprint.ts'
import { encodeTemplate, type Template } from '../../../../shards/wire/codec.ts'
import { encodeJob } from '../../../support/encode-job.ts'
import { forEachSeed } from '../../../support/swarm.ts'

interface Asked {
  readonly url: string
  readonly method: string
  readonly body: Buffer | null
}

/** Memory with some bytes in it at a place, as views of one ring have them. */
function memory(place: number, parts: readonly Uint8Array[]): { bytes: Buffer, u32: Uint32Array } {
  const length = parts.reduce((sum, part) => sum + part.length, place)
  const u32 = new Uint32Array((length >>> 2) + 2)
  const bytes = Buffer.from(u32.buffer)
  let at = place
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return { bytes, u32 }
}

function print(
  { body, method, url }: Asked, place: number, more: Partial<Template> = {}, beginByMs = 0,
): number {
  const template = encodeTemplate({
    userId: 'ann', headers: [], webhookUrl: null, receiver: 0, ...more, url, method,
  })
  const start = 8 * place
  // What is measured off by the template's length is the job, at any place in a word.
  const job = encodeJob({ createdAtMs: 1.75e12 + place, executeBeforeMs: beginByMs, body })
  const views = memory(start, [template, job])
  const jobStart = start + template.length
  return fingerprintOf(views, start, jobStart, jobStart + job.length)
}

/** The reference: every step as the algorithm's author writes it. */
function reference(bytes: Buffer, seed: number): number {
  const rotl = (word: number, by: number): number => (word << by) | (word >>> (32 - by))
  const scramble = (word: number): number =>
    Math.imul(rotl(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593)
  let hash = seed
  const words = Math.floor(bytes.length / 4)
  for (let word = 0; word < words; word++) {
    hash = (Math.imul(rotl(hash ^ scramble(bytes.readInt32LE(4 * word)), 13), 5) + 0xe6546b64) | 0
  }
  const rest = Buffer.alloc(4)
  bytes.copy(rest, 0, 4 * words)
  hash ^= scramble(rest.readInt32LE()) ^ bytes.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function drawBody(prng: Prng): Buffer | null {
  if (prng.chance(0.2)) return null
  const bytes = Buffer.alloc(prng.below(prng.pick([4, 40, 300])))
  for (let at = 0; at < bytes.length; at++) bytes[at] = prng.below(256)
  return bytes
}

function drawText(prng: Prng): string {
  const length = prng.below(prng.pick([8, 40, 300]))
  return Array.from({ length }, () => prng.pick(['a', 'b', '/'])).join('')
}

test('published values', () => {
  const hash = (text: string, seed: number): number =>
    hashSpan(memory(0, [Buffer.from(text)]), seed, 0, text.length)
  assert.equal(hash('', 0), 0)
  assert.equal(hash('', 1), 0x514e28b7)
  assert.equal(hash('test', 0x9747b28c), 0x704b81dc)
  assert.equal(hash('Hello, world!', 0x9747b28c), 0x24884cba)
})

test('spans are hashed alike wherever they begin', () => {
  forEachSeed(300, (prng) => {
    const bytes = drawBody(prng) ?? Buffer.of()
    const seed = prng.uint32()
    const expected = reference(bytes, seed)
    for (let place = 0; place < 8; place++) {
      const views = memory(place, [bytes, Buffer.from([0xff])])
      assert.equal(hashSpan(views, seed, place, place + bytes.length), expected)
    }
  })
})

test('a fingerprint is of method, URL and body, and of nothing else', () => {
  forEachSeed(300, (prng) => {
    const url = `http://${drawText(prng)}`
    const asked: Asked = { url, method: prng.pick(['GET', 'POST']), body: drawBody(prng) }
    const expected = print(asked, 0)
    const same = print(asked, prng.below(4), {
      userId: 'b'.repeat(prng.between(1, 256)), headers: ['X', drawText(prng)],
      webhookUrl: prng.pick([null, 'http://hook']), receiver: prng.uint32(),
    }, prng.pick([0, 1.75e12]))
    assert.equal(same, expected)
    const body = asked.body ?? Buffer.of()
    if (body.length === 0) {
      assert.equal(print({ ...asked, body: asked.body === null ? body : null }, 0), expected)
    }
    const others: Asked[] = [
      { ...asked, method: 'PUT' }, { ...asked, url: `${url}x` },
      { ...asked, body: Buffer.concat([body, Buffer.from('\0')]) },
      { ...asked, url: url.slice(0, -1), method: `${url.slice(-1)}${asked.method}` },
    ]
    if (body.length > 0) {
      const changed = Buffer.from(body)
      const at = prng.below(body.length)
      changed[at] = (changed[at] as number) ^ (1 << prng.below(8))
      others.push({ ...asked, body: changed })
    }
    for (const other of others) assert.notEqual(print(other, 0), expected)
  })
})
