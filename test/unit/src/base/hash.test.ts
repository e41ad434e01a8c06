// The keyed hashes against the reference's vectors, and the framing of what they are fed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import {
  halfSipHash32Fast, halfSipHash64, JobHasher, makeSecret, SECRET_BYTES, shardOf,
} from '../../../../src/base/hash.ts'
import { JobText } from '../../../../src/shapes/scan/job-text.ts'

/** vectors_hsip64 of github.com/veorq/SipHash: key 00 01 … 07, message 00 01 … of length n. */
const VECTORS = [
  '218d1f59b9b83cc8', 'be552412f8387315', '064f39ef7c50eb57', 'ce0f1a45f7060679',
  'd5e78a175be52ea1', 'cb9d7c3f2f3db580', 'ce3e91358aa2bc25', 'ff202728b07bc684',
  'edfee820bce4858c', '5b51cccc13888307', '95b0469f06a6f2ee', 'ae26333994ddcd48',
  '7bc71f9faef5c799', '5a2352d75a0c3744', '3bb1a870eae8e658', '217d0bcb4e81c902',
  '7336aad25f7bf3b5', '37adc0641c4c4f6a', 'c9b2db2b9a3e42f9', 'f910e48020ab363c',
]

const KEY_0 = 0x03020100
const KEY_1 = 0x07060504

/** Every byte its place, `start` bytes into a buffer. */
function message(start: number): { words: Uint32Array, bytes: Uint8Array } {
  const bytes = new Uint8Array(128)
  for (let at = 0; at < 64; at++) bytes[start + at] = at
  return { words: new Uint32Array(bytes.buffer), bytes }
}

test('HalfSipHash-2-4 gives the reference output for every length, wherever it lies', () => {
  for (const start of [0, 4, 56]) {
    const { words, bytes } = message(start)
    for (const [length, expected] of VECTORS.entries()) {
      const hash = { high: 0, low: 0 }
      halfSipHash64(KEY_0, KEY_1, words, bytes, start, length, hash)
      const out = Buffer.alloc(8)
      out.writeUInt32LE(hash.low, 0)
      out.writeUInt32LE(hash.high, 4)
      assert.equal(out.toString('hex'), expected, `length ${length} at ${start}`)
    }
  }
})

test('the fast hash depends on every byte, on the length and on the key', () => {
  const { words, bytes } = message(0)
  const seen = new Set<number>()
  for (let length = 0; length <= 64; length++) {
    seen.add(halfSipHash32Fast(KEY_0, KEY_1, words, bytes, 0, length))
  }
  for (let at = 0; at < 64; at++) {
    bytes[at] = 255
    seen.add(halfSipHash32Fast(KEY_0, KEY_1, words, bytes, 0, 64))
    bytes[at] = at
  }
  seen.add(halfSipHash32Fast(KEY_0 + 1, KEY_1, words, bytes, 0, 64))
  assert.equal(seen.size, 65 + 64 + 1)
})

test('shardOf gives its worked values and spreads users evenly', () => {
  assert.equal(shardOf(0, 4), 0)
  assert.equal(shardOf(2 ** 31, 4), 2)
  assert.equal(shardOf(2 ** 32 - 1, 4), 3)
  const hasher = new JobHasher(new Uint8Array(SECRET_BYTES).fill(7))
  const counts = [0, 0, 0, 0, 0]
  for (let user = 0; user < 10_000; user++) {
    const shard = shardOf(hasher.user(0, `user-${user}`).route, counts.length)
    counts[shard] = (counts[shard] as number) + 1
  }
  for (const count of counts) assert.ok(count > 1800 && count < 2200, `shares: ${counts}`)
})

/** The three hashes of a job, as text. */
function hashesOf(
  hasher: JobHasher, user: string, key: string, apiKey: string | null, upstream: number,
  tenant = 0,
): { route: number, high: number, user: string, key: string, lane: string } {
  const known = hasher.user(tenant, user)
  hasher.key(known, key)
  const keyText = `${hasher.hash.high} ${hasher.hash.low}`
  const text = new JobText(64 * 1024)
  text.take(Buffer.from(`before ${key} behind`))
  hasher.keyBytes(known, text.view, 7, text.length - 7)
  assert.equal(`${hasher.hash.high} ${hasher.hash.low}`, keyText, 'bytes hash as their text does')
  hasher.lane(known, apiKey, upstream)
  return {
    route: known.route, high: known.high, user: `${known.userHigh} ${known.userLow}`,
    key: keyText, lane: `${hasher.hash.high} ${hasher.hash.low}`,
  }
}

test('the same texts hash the same, whatever was hashed between', () => {
  const hasher = new JobHasher(makeSecret())
  const first = hashesOf(hasher, 'ann', 'k1', 'secret', 3)
  hashesOf(hasher, 'a much longer user than ann', 'k'.repeat(512), 'x'.repeat(32_000), 9)
  assert.deepEqual(hashesOf(hasher, 'ann', 'k1', 'secret', 3), first)
})

test('texts that run into each other hash differently', () => {
  const hasher = new JobHasher(makeSecret())
  const keys = new Set<string>()
  const lanes = new Set<string>()
  const pairs = [['ab', 'c'], ['a', 'bc'], ['', 'abc'], ['abc', ''], ['ab\0', 'c'], ['ab', '\0c']]
  for (const [user = '', key = ''] of pairs) {
    keys.add(hashesOf(hasher, user, key, null, 0).key)
    lanes.add(hashesOf(hasher, user, '', key, 0).lane)
    lanes.add(hashesOf(hasher, user, '', null, 0).lane)
    lanes.add(hashesOf(hasher, user, '', key, 0x01000000).lane)
  }
  assert.equal(keys.size, pairs.length)
  // Three lanes a pair, but the two pairs of user 'ab' share the one without an API key.
  assert.equal(lanes.size, 3 * pairs.length - 1)
})

test('tenant 0 has the hashes from before there were tenants', () => {
  const hasher = new JobHasher(new Uint8Array(SECRET_BYTES).map((_, at) => at))
  const texts = [
    ['ann', 'k1', null, 3], ['', '', '', 0], ['grüße', 'schlüssel', 'Bearer x', 16_383],
  ] as const
  const hashes = texts.map(([userId, key, apiKey, upstream]) => {
    const user = hasher.user(0, userId)
    const words = [user.route, user.high]
    hasher.key(user, key)
    words.push(hasher.hash.high, hasher.hash.low)
    hasher.lane(user, apiKey, upstream)
    words.push(hasher.hash.high, hasher.hash.low)
    return words.map((word) => word.toString(16)).join(' ')
  })
  assert.deepEqual(hashes, [
    '2d1fe830 4eb86f82 b8d631be b6b5e81d 3bd2543c 4c2df49a',
    '591f8d21 c83cb8b9 52bbeb90 30c04fb5 d99ad0ab 7dabf43c',
    '6d4166db b6297946 5c39bafc d3e46b1d 8956fd36 98cb5172',
  ])
})

test('a tenant has one route, and its users, keys and lanes are nobody else\'s', () => {
  const hasher = new JobHasher(makeSecret())
  const routes = new Set<number>()
  const users = new Set<string>()
  const keys = new Set<string>()
  const lanes = new Set<string>()
  const tenants = [0, 1, 2, 12, 122, 256, 65_535]
  const texts = ['', 'x', '2x', '12x', '2x\0', 'x'.repeat(256)]
  for (const tenant of tenants) {
    for (const user of texts) {
      for (const text of texts) {
        const known = hashesOf(hasher, user, text, text, 0, tenant)
        if (tenant !== 0) routes.add(known.route)
        users.add(`${known.route} ${known.high} ${known.user}`)
        keys.add(known.key)
        lanes.add(known.lane)
      }
    }
  }
  assert.equal(routes.size, tenants.length - 1)
  assert.equal(users.size, tenants.length * texts.length)
  assert.equal(keys.size, tenants.length * texts.length ** 2)
  assert.equal(lanes.size, tenants.length * texts.length ** 2)
})

test('another secret gives other hashes', () => {
  const secret = new Uint8Array(SECRET_BYTES)
  const all = new Set<string>()
  const prng = new Prng(1)
  for (let round = 0; round < 50; round++) {
    for (let at = 0; at < SECRET_BYTES; at++) secret[at] = prng.below(256)
    const { route, key, lane } = hashesOf(new JobHasher(secret), 'ann', 'k1', null, 0)
    all.add(String(route)).add(key).add(lane)
  }
  assert.equal(all.size, 150)
})
