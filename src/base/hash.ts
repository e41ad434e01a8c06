// Keyed hashes: the shard of a user, and the hashes that identify keys, lanes and templates.
// A caller who does not know the secret cannot choose texts that collide.
// Source: HalfSipHash (Aumasson and Bernstein, github.com/veorq/SipHash): SipHash on 32-bit words.

import { randomBytes } from 'node:crypto'
import { assert } from '../../shards/base/assert.ts'
import {
  IDEMPOTENT_KEY_BYTES_MAX, JOB_HEADERS_BYTES_MAX, USER_ID_BYTES_MAX,
} from '../../shards/memory/limits.ts'
import { copySpan } from './spans.ts'

/** Four 64-bit keys: route, idempotent key, lane, template. */
export const SECRET_BYTES = 32

/** A fresh secret from the machine's randomness. */
export const makeSecret = (): Uint8Array => randomBytes(SECRET_BYTES)

/** Receives a hash; one object is reused, since the hot path allocates nothing. */
export interface Hash64 {
  high: number
  low: number
}

const INITIAL_2 = 0x6c796765
const INITIAL_3 = 0x74656462
const WIDE = 0xee
const WIDE_AGAIN = 0xdd
const NARROW = 0xff

/** The state of one hash between its steps, which work on local copies. */
const state = new Int32Array(4)

/**
 * HalfSipHash-2-4 with 64 bits of output over `length` bytes from `start`, a multiple of 4.
 * `words` and `bytes` are two views of the same memory. The reference's output bytes 0 … 3 are
 * `low` (little-endian), 4 … 7 are `high`.
 */
export function halfSipHash64(
  key0: number, key1: number, words: Uint32Array, bytes: Uint8Array, start: number,
  length: number, out: Hash64,
): void {
  state[0] = key0
  state[1] = key1 ^ WIDE
  state[2] = INITIAL_2 ^ key0
  state[3] = INITIAL_3 ^ key1
  absorb(words, bytes, start, length, 2)
  state[2] = (state[2] as number) ^ WIDE
  rounds(4)
  out.low = ((state[1] as number) ^ (state[3] as number)) >>> 0
  state[1] = (state[1] as number) ^ WIDE_AGAIN
  rounds(4)
  out.high = ((state[1] as number) ^ (state[3] as number)) >>> 0
}

/**
 * HalfSipHash-1-3 with 32 bits of output: half the rounds, for hash tables whose entries are
 * compared byte by byte after a hit. Parameters as above.
 */
export function halfSipHash32Fast(
  key0: number, key1: number, words: Uint32Array, bytes: Uint8Array, start: number, length: number,
): number {
  state[0] = key0
  state[1] = key1
  state[2] = INITIAL_2 ^ key0
  state[3] = INITIAL_3 ^ key1
  absorb(words, bytes, start, length, 1)
  state[2] = (state[2] as number) ^ NARROW
  rounds(3)
  return ((state[1] as number) ^ (state[3] as number)) >>> 0
}

/** Absorbs all bytes, `count` rounds a word; the last word has the length in its top byte. */
function absorb(
  words: Uint32Array, bytes: Uint8Array, start: number, length: number, count: number,
): void {
  let last = length << 24
  const whole = start + (length & ~3)
  for (let at = whole, shift = 0; at < start + length; at++, shift += 8) {
    last |= (bytes[at] as number) << shift
  }
  let a = state[0] as number
  let b = state[1] as number
  let c = state[2] as number
  let d = state[3] as number
  for (let at = start; at <= whole; at += 4) {
    const word = at === whole ? last : (words[at >>> 2] as number) | 0
    d ^= word
    for (let round = 0; round < count; round++) {
      a = (a + b) | 0
      b = ((b << 5) | (b >>> 27)) ^ a
      a = (a << 16) | (a >>> 16)
      c = (c + d) | 0
      d = ((d << 8) | (d >>> 24)) ^ c
      a = (a + d) | 0
      d = ((d << 7) | (d >>> 25)) ^ a
      c = (c + b) | 0
      b = ((b << 13) | (b >>> 19)) ^ c
      c = (c << 16) | (c >>> 16)
    }
    a ^= word
  }
  state[0] = a
  state[1] = b
  state[2] = c
  state[3] = d
}

/** The same rounds without input. */
function rounds(count: number): void {
  let a = state[0] as number
  let b = state[1] as number
  let c = state[2] as number
  let d = state[3] as number
  for (let round = 0; round < count; round++) {
    a = (a + b) | 0
    b = ((b << 5) | (b >>> 27)) ^ a
    a = (a << 16) | (a >>> 16)
    c = (c + d) | 0
    d = ((d << 8) | (d >>> 24)) ^ c
    a = (a + d) | 0
    d = ((d << 7) | (d >>> 25)) ^ a
    c = (c + b) | 0
    b = ((b << 13) | (b >>> 19)) ^ c
    c = (c << 16) | (c >>> 16)
  }
  state[0] = a
  state[1] = b
  state[2] = c
  state[3] = d
}

/** Multiply-shift range reduction: (0, 4) → 0, (2^31, 4) → 2, (2^32 - 1, 4) → 3. */
export const shardOf = (route: number, shards: number): number =>
  Math.floor((route / 2 ** 32) * shards)

/** The fixed prefix, and the longest text after it: at most three bytes of UTF-8 a character. */
const SCRATCH_BYTES = 24 + 3 * Math.max(
  USER_ID_BYTES_MAX, IDEMPOTENT_KEY_BYTES_MAX, JOB_HEADERS_BYTES_MAX)
assert(SCRATCH_BYTES % 4 === 0, 'the scratch buffer is not a multiple of 4 bytes')

// What a tenant's encodings begin with, in the byte after TENANT_MARK.
const OF_TENANT = 0
const OF_USER = 1
const OF_KEY = 2
const OF_LANE = 3
/** The first byte of a tenant's encodings. No text in UTF-8 has it, so no user of tenant 0 does. */
const TENANT_MARK = 0xff
/** Words of a tenant's prefix: mark, kind and tenant; two of the user; the length of the text. */
const TENANT_PREFIX_WORDS = 4

/**
 * The 64 bits by which shares of pools are counted: of a user in tenant 0, else of the tenant, so
 * that a tenant has one share of each pool however many users it names.
 */
export interface HolderHash {
  /** The first word of all ids of the holder's jobs; it chooses the shard. */
  readonly route: number
  readonly high: number
}

/** The hashes that identify a user. */
export interface UserHash extends HolderHash {
  /** 0 to 65,535. */
  readonly tenant: number
  /** 64 bits of tenant and user; 0 in tenant 0, where the holder's bits are the user's. */
  readonly userHigh: number
  readonly userLow: number
}

/**
 * Computes the hashes of jobs. No two different inputs have the same encoding: everything but the
 * last part has a fixed width, and in the tenants other than 0 each text has its length before it.
 * Tenant 0 has the encodings from before there were tenants, which are in journals.
 */
export class JobHasher {
  /** Result of the last key(), keyBytes() or lane(). */
  readonly hash: Hash64 = { high: 0, low: 0 }
  readonly #keys: Uint32Array
  readonly #bytes = Buffer.alloc(SCRATCH_BYTES)
  readonly #words = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, SCRATCH_BYTES / 4)

  /** @param secret SECRET_BYTES bytes, from makeSecret() or a test. */
  constructor(secret: Uint8Array) {
    assert(secret.length === SECRET_BYTES, 'the hash secret has the wrong length')
    const copy = Uint8Array.from(secret)
    this.#keys = new Uint32Array(copy.buffer)
  }

  /** @param tenant 0 to 65,535. */
  user(tenant: number, userId: string): UserHash {
    if (tenant === 0) {
      this.#hash(0, this.#write(userId, 0))
      return { tenant, route: this.hash.low, high: this.hash.high, userHigh: 0, userLow: 0 }
    }
    this.#mark(OF_TENANT, tenant)
    this.#hash(0, 4)
    const { high, low: route } = this.hash
    this.#mark(OF_USER, tenant)
    this.#hash(0, this.#writeWithLength(userId, 1))
    return { tenant, route, high, userHigh: this.hash.high, userLow: this.hash.low }
  }

  /** `hash`: 64 bits of the user and the key. */
  key(user: UserHash, idempotentKey: string): void {
    this.#hash(2, user.tenant === 0
      ? this.#write(idempotentKey, this.#begin(user))
      : this.#writeWithLength(idempotentKey, this.#beginTenant(OF_KEY, user)))
  }

  /** The same for a key that is bytes of UTF-8 already. */
  keyBytes(user: UserHash, view: DataView, start: number, end: number): void {
    const length = end - start
    assert(length + 4 * TENANT_PREFIX_WORDS <= SCRATCH_BYTES,
      'a hashed text is longer than its limit')
    let at = 2
    if (user.tenant === 0) this.#begin(user)
    else {
      at = TENANT_PREFIX_WORDS
      this.#words[this.#beginTenant(OF_KEY, user)] = length
    }
    copySpan(view, start, end, this.#words, at)
    this.#hash(2, 4 * at + length)
  }

  /** `hash`: 64 bits of the user, the API key or its absence, and the upstream's slot. */
  lane(user: UserHash, apiKey: string | null, upstream: number): void {
    let at = 2
    if (user.tenant === 0) this.#begin(user)
    else at = this.#beginTenant(OF_LANE, user)
    this.#words[at] = upstream
    this.#words[at + 1] = apiKey === null ? 0 : 1
    const end = 4 * (at + 2)
    if (apiKey === null) this.#hash(4, end)
    else if (user.tenant === 0) this.#hash(4, this.#write(apiKey, end))
    else this.#hash(4, this.#writeWithLength(apiKey, at + 2))
  }

  /** 32 bits of the template at `start` (a multiple of 4) in a ring. */
  template(words: Uint32Array, bytes: Uint8Array, start: number, length: number): number {
    const key0 = this.#keys[6] as number
    const key1 = this.#keys[7] as number
    return halfSipHash32Fast(key0, key1, words, bytes, start, length)
  }

  /** Tenant 0. @returns where the text begins, in bytes. */
  #begin(user: UserHash): number {
    this.#words[0] = user.route
    this.#words[1] = user.high
    return 8
  }

  /** @returns the next word. */
  #beginTenant(kind: number, user: UserHash): number {
    this.#mark(kind, user.tenant)
    this.#words[1] = user.userHigh
    this.#words[2] = user.userLow
    return 3
  }

  #mark(kind: number, tenant: number): void {
    this.#words[0] = TENANT_MARK | kind << 8 | tenant << 16
  }

  /** @returns the end of the text. */
  #write(text: string, start: number): number {
    assert(start + 3 * text.length <= SCRATCH_BYTES, 'a hashed text is longer than its limit')
    return start + this.#bytes.write(text, start)
  }

  /** Writes the text's length into a word, and the text after it. @returns the text's end. */
  #writeWithLength(text: string, word: number): number {
    const start = 4 * (word + 1)
    const end = this.#write(text, start)
    this.#words[word] = end - start
    return end
  }

  #hash(pair: number, length: number): void {
    const key0 = this.#keys[pair] as number
    const key1 = this.#keys[pair + 1] as number
    halfSipHash64(key0, key1, this.#words, this.#bytes, 0, length, this.hash)
  }
}
