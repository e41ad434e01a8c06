// The codec: values come back as they went in, from shared memory too and whatever comes after;
// and nothing that a caller sends as MessagePack can throw, hang, or reach a prototype.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { NONE } from '../../../../shards/base/units.ts'
import { MSGPACK_DEPTH_MAX } from '../../../../shards/memory/limits.ts'
import {
  type JobPayload, type Template, decodeJob, decodeTemplate, decodeUntrusted, decodeValue,
  encodeTemplate, encodeValue,
} from '../../../../shards/wire/codec.ts'
import { encodeJob } from '../../../support/encode-job.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261_122)
const ROUND_TRIPS = 3000
const MUTATIONS = 20_000
/** Unix ms up to here are exact numbers. */
const EXACT_MAX = 2 ** 53
const GUARD_BYTE = 0xa5

const TEMPLATE: Template = {
  userId: 'user-1', url: 'https://api.example.com/v1/things?q=ü', method: 'POST',
  headers: ['Authorization', 'Bearer abc', 'Content-Type', 'application/json'],
  webhookUrl: 'https://hooks.example.com/done', receiver: 7,
}
const JOB: JobPayload = {
  createdAtMs: 1_795_363_433_123, executeBeforeMs: 0, body: Buffer.from('{"hello":"world"}'),
}

/** Puts bytes somewhere into shared memory, between guard bytes that are not to be read. */
function inSharedMemory(bytes: Uint8Array, start: number): Buffer {
  const buffer = Buffer.from(
    new SharedArrayBuffer(start + bytes.length + 16) as unknown as ArrayBuffer)
  buffer.fill(GUARD_BYTE)
  buffer.set(bytes, start)
  return buffer
}

/** Encodes, moves to shared memory, decodes. */
function roundTrip<T>(
  value: T, encode: (value: T) => Uint8Array,
  decode: (bytes: Buffer, start: number, end: number) => unknown, start = 24,
): unknown {
  const bytes = encode(value)
  return decode(inSharedMemory(bytes, start), start, start + bytes.length)
}

/** Bodies compared as bytes, whatever their class. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]))
}

const STRINGS = ['', 'a', 'short', 'ü', '日本語', '🚀', 'x'.repeat(31), 'y'.repeat(32)]

/** Strings around every length and alphabet at which the format or the package changes its way. */
function drawString(prng: Prng): string {
  if (prng.chance(0.3)) return prng.pick(STRINGS)
  const length = prng.chance(0.05) ? prng.below(70_000) : prng.below(300)
  const alphabet = prng.pick(['abc', 'äöü', 'a日', '🚀b', 'plain ascii text'])
  return alphabet.repeat(Math.ceil(length / alphabet.length))
}

const drawBody = (prng: Prng): Uint8Array | null => {
  if (prng.chance(0.2)) return null
  const body = Buffer.alloc(prng.chance(0.05) ? prng.below(200_000) : prng.below(600))
  for (let at = 0; at < body.length; at += 1 + (at >> 6)) body[at] = prng.below(256)
  return body
}

const drawTemplate = (prng: Prng): Template => ({
  userId: drawString(prng), url: drawString(prng), method: drawString(prng),
  headers: Array.from({ length: 2 * prng.below(20) }, () => drawString(prng)),
  webhookUrl: prng.chance(0.3) ? null : drawString(prng),
  receiver: prng.chance(0.3) ? NONE : prng.below(16_384),
})

const drawTimeMs = (prng: Prng): number =>
  prng.chance(0.2) ? prng.pick([0, 1, 2 ** 31, 2 ** 32, EXACT_MAX]) : prng.below(2 ** 32) * 997

const drawJob = (prng: Prng): JobPayload => ({
  createdAtMs: drawTimeMs(prng), executeBeforeMs: drawTimeMs(prng), body: drawBody(prng),
})

/** Anything that JSON or a binary field could be. */
function drawValue(prng: Prng, depth: number): unknown {
  switch (prng.below(depth > 0 ? 8 : 6)) {
    case 0: return null
    case 1: return prng.chance(0.5)
    case 2: return prng.between(-40, 300)
    case 3: return (prng.unit() - 0.5) * 2 ** prng.below(60)
    case 4: return drawString(prng)
    case 5: return drawBody(prng)
    case 6: return Array.from({ length: prng.below(20) }, () => drawValue(prng, depth - 1))
    default: return Object.fromEntries(Array.from({ length: prng.below(20) }, (_, at) =>
      [`${prng.pick(['k', 'constructor', 'ключ', 'long-key-'.repeat(5)])}${at}`,
        drawValue(prng, depth - 1)]))
  }
}

test('what is encoded comes back from shared memory', () => {
  assert.deepEqual(roundTrip(TEMPLATE, encodeTemplate, decodeTemplate), TEMPLATE)
  assert.deepEqual(roundTrip(JOB, encodeJob, decodeJob), JOB)
  const view = { status: 'queued', position: 3, headers: { a: 'b' }, list: [1, 2.5, -7] }
  assert.deepEqual(roundTrip(view, encodeValue, decodeValue), view)
  assert.equal(roundTrip(null, encodeValue, decodeValue), null)
  assert.deepEqual(roundTrip({ a: undefined }, encodeValue, decodeValue), { a: null })
})

test('random values come back as they were', () => {
  const prng = new Prng(SEED)
  for (let trip = 0; trip < ROUND_TRIPS; trip++) {
    const start = prng.below(100)
    const message = `SLUICE_SEED=${SEED}, trip ${trip}`
    const template = drawTemplate(prng)
    assert.deepEqual(roundTrip(template, encodeTemplate, decodeTemplate, start), template, message)
    const job = drawJob(prng)
    assert.deepEqual(plain(roundTrip(job, encodeJob, decodeJob, start)), plain(job), message)
    const value = drawValue(prng, 3)
    assert.deepEqual(
      plain(roundTrip(value, encodeValue, decodeValue, start)), plain(value), message)
    const untrusted = decodeUntrusted(encodeValue(value))
    assert.ok(untrusted.ok, message)
    assert.deepEqual(plain(untrusted.value), plain(value), message)
  }
})

test('values are compact: no keys, no records, small numbers in a byte', () => {
  assert.ok(encodeTemplate(TEMPLATE).length < JSON.stringify(TEMPLATE).length * 0.75)
  assert.ok(encodeJob({ ...JOB, body: null }).length <= 12)
  // 0xd4 0x72 would define a record.
  const bytes = Buffer.from(encodeValue([{ a: 1 }, { a: 2 }]))
  assert.deepEqual([...bytes], [0x92, 0x81, 0xa1, 0x61, 1, 0x81, 0xa1, 0x61, 2])
})

test('encoded bytes stay as they are through later encoding, decoding and growing', () => {
  const prng = new Prng(SEED)
  const kept: { bytes: Uint8Array; copy: Buffer }[] = []
  for (let round = 0; round < 500; round++) {
    const bytes = encodeValue(drawValue(prng, 2))
    kept.push({ bytes, copy: Buffer.from(bytes) })
    roundTrip(drawTemplate(prng), encodeTemplate, decodeTemplate)
  }
  for (const { bytes, copy } of kept) assert.ok(copy.equals(bytes), `SLUICE_SEED=${SEED}`)
})

test('a decoded body is an exact copy that outlives its source and later decodes', () => {
  const bytes = encodeJob(JOB)
  const source = inSharedMemory(bytes, 8)
  const { body } = decodeJob(source, 8, 8 + bytes.length)
  assert.ok(body !== null)
  source.fill(0)
  roundTrip({ ...JOB, body: Buffer.alloc(100_000, 1) }, encodeJob, decodeJob)
  assert.equal(Buffer.from(body).toString(), '{"hello":"world"}')
  assert.ok(body.buffer.byteLength <= Math.max(body.length, Buffer.poolSize), 'no more than a pool')
  assert.ok(!(body.buffer instanceof SharedArrayBuffer))
})

test('an empty body is not no body', () => {
  const empty = roundTrip({ ...JOB, body: new Uint8Array(0) }, encodeJob, decodeJob) as JobPayload
  assert.equal(empty.body?.length, 0)
  const none = roundTrip({ ...JOB, body: null }, encodeJob, decodeJob) as JobPayload
  assert.equal(none.body, null)
})

test('a body that is a view of shared memory is encoded as what it shows', () => {
  const body = inSharedMemory(Buffer.from('shared'), 3).subarray(3, 9)
  const job = roundTrip({ ...JOB, body }, encodeJob, decodeJob) as JobPayload
  assert.equal(Buffer.from(job.body ?? []).toString(), 'shared')
})

test('a string that is no Unicode text does not throw', () => {
  const template = { ...TEMPLATE, userId: '\ud800', url: `${'a'.repeat(80)}\udc00` }
  const back = roundTrip(template, encodeTemplate, decodeTemplate) as Template
  assert.equal(back.method, TEMPLATE.method)
})

test('bytes that are something else are asserted', () => {
  const job = encodeJob(JOB)
  const source = inSharedMemory(job, 0)
  assert.throws(() => decodeTemplate(source, 0, job.length), /another number of fields/)
  const text = inSharedMemory(encodeValue('text'), 0)
  assert.throws(() => decodeJob(text, 0, 5), /no array of its fields/)
  assert.throws(() => decodeJob(source, 0, source.length + 1), /outside its buffer/)
  assert.throws(() => decodeJob(source, 5, 5), /outside its buffer/)
})

const bytesOf = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes)

test('untrusted: integers of 64 bits are numbers', () => {
  assert.deepEqual(
    decodeUntrusted(bytesOf(0xcf, 0, 0, 1, 0, 0, 0, 0, 5)), { ok: true, value: 2 ** 40 + 5 })
  assert.deepEqual(
    decodeUntrusted(bytesOf(0xd3, 255, 255, 255, 255, 255, 255, 255, 254)),
    { ok: true, value: -2 })
})

test('untrusted: what is not exactly one plain value is refused', () => {
  const refused: [string, Uint8Array][] = [
    ['nothing', bytesOf()],
    ['garbage behind', bytesOf(0x01, 0x02)],
    ['a cut string', bytesOf(0xa5, 0x61)],
    ['a cut length', bytesOf(0xda, 0x01)],
    ['a cut number', bytesOf(0xcb, 0, 0)],
    ['a cut array', bytesOf(0x92, 0x01)],
    ['a cut map', bytesOf(0x81, 0xa1, 0x61)],
    ['a huge array', bytesOf(0xdd, 0xff, 0xff, 0xff, 0xff)],
    ['a huge map', bytesOf(0xdf, 0xff, 0xff, 0xff, 0xff)],
    ['a huge string', bytesOf(0xdb, 0xff, 0xff, 0xff, 0xff, 0x61)],
    ['a huge binary', bytesOf(0xc6, 0xff, 0xff, 0xff, 0xff, 0x61)],
    ['a number as key', bytesOf(0x81, 0x01, 0x01)],
    ['an array as key', bytesOf(0x81, 0x90, 0x01)],
    ['a string that is no UTF-8', bytesOf(0xa1, 0xff)],
    ['a cut character', bytesOf(0xa1, 0xc3)],
    ['an overlong character', bytesOf(0xa2, 0xc0, 0x80)],
    ['half of a surrogate pair', bytesOf(0xa3, 0xed, 0xa0, 0x80)],
    ['a key that is no UTF-8', bytesOf(0x81, 0xa1, 0xe9, 0x01)],
    ['one in a map in an array', bytesOf(0x91, 0x81, 0xa1, 0x61, 0xd9, 0x01, 0xe9)],
    ['a long string that is no UTF-8',
      Buffer.concat([bytesOf(0xda, 1, 0), Buffer.alloc(255, 0x61), bytesOf(0xe9)])],
    ['one of 32 bits', Buffer.concat([bytesOf(0xdb, 0, 0, 0, 3), bytesOf(0x61, 0xe9, 0x62)])],
    ['never used', bytesOf(0xc1)],
    ['undefined', bytesOf(0xd4, 0, 0)],
    ['a record', bytesOf(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01)],
    ['a regular expression', bytesOf(0xd4, 0x78, 0, 0x92, 0xa1, 0x61, 0xa0)],
    ['an error', bytesOf(0xd4, 0x65, 0, 0x93, 0xa1, 0x61, 0xa1, 0x61, 0xc0)],
    ['a pointer', bytesOf(0xd6, 0x70, 0, 0, 0, 1)],
    ['a timestamp', bytesOf(0xd6, 0xff, 0, 0, 0, 1)],
    ['a bundle', bytesOf(0xd6, 0x62, 0, 0, 0, 0, 0x01)],
    ['an extension in an array', bytesOf(0x91, 0xc7, 1, 5, 0)],
  ]
  for (const [name, bytes] of refused) assert.deepEqual(decodeUntrusted(bytes), { ok: false }, name)
})

test('untrusted: depth is bounded', () => {
  const nested = (depth: number): Uint8Array =>
    Buffer.concat([Buffer.alloc(depth, 0x91), bytesOf(0x01)])
  assert.equal(decodeUntrusted(nested(MSGPACK_DEPTH_MAX)).ok, true)
  assert.equal(decodeUntrusted(nested(MSGPACK_DEPTH_MAX + 1)).ok, false)
  assert.equal(decodeUntrusted(nested(1_000_000)).ok, false)
  const maps = Buffer.concat([
    Buffer.from('81a161'.repeat(MSGPACK_DEPTH_MAX + 1), 'hex'), bytesOf(0x01),
  ])
  assert.equal(decodeUntrusted(maps).ok, false)
  assert.equal(decodeUntrusted(maps.subarray(3)).ok, true)
})

test('untrusted: no key reaches a prototype', () => {
  const polluting = Buffer.concat([
    bytesOf(0x82, 0xa9), Buffer.from('__proto__'), bytesOf(0x81, 0xa3), Buffer.from('bad'),
    bytesOf(0xc3, 0xab), Buffer.from('constructor'), bytesOf(0x01),
  ])
  for (const bytes of [polluting, Buffer.from(polluting)]) {
    const result = decodeUntrusted(bytes)
    assert.ok(result.ok)
    const value = result.value as Record<string, unknown>
    assert.equal(Object.getPrototypeOf(value), Object.prototype)
    assert.equal('bad' in value, false)
    assert.deepEqual(value, JSON.parse('{"__proto__": {"bad": true}, "constructor": 1}'))
  }
  const long = Buffer.concat([
    bytesOf(0x82, 0xa1, 0x61, 0xda, 0x03, 0xe8), Buffer.alloc(1000, 0x62),
    bytesOf(0xd9, 9), Buffer.from('__proto__'), bytesOf(0x81, 0xa3), Buffer.from('bad'),
    bytesOf(0xc3),
  ])
  const result = decodeUntrusted(long)
  assert.ok(result.ok)
  assert.equal(Object.getPrototypeOf(result.value), Object.prototype)
  assert.equal('bad' in {}, false)
})

test('untrusted: beside a key __proto__ all else is read as ever', () => {
  const value = {
    a: [1, -2, 1.5, 2 ** 40, null, true, { b: [] }], bytes: Uint8Array.of(1, 255), text: '\u65e5',
    ['__proto__x']: { ['c__proto__']: '__proto__' },
  }
  const bytes = encodeValue(value)
  const result = decodeUntrusted(bytes)
  assert.ok(result.ok)
  // What comes later must not show through.
  decodeUntrusted(Buffer.alloc(bytes.length, 0x91))
  decodeUntrusted(encodeValue({ ...value, bytes: Uint8Array.of(7, 7) }))
  assert.deepEqual(result.value, { ...value, bytes: Buffer.from([1, 255]) })
})

/** Changes, cuts, doubles or splices a few bytes; or draws them all. */
function mutate(prng: Prng, original: Uint8Array): Buffer {
  if (prng.chance(0.1)) {
    return Buffer.from(Array.from({ length: prng.below(60) }, () => prng.below(256)))
  }
  let bytes = Buffer.from(original)
  for (let change = prng.between(1, 4); change > 0; change--) {
    const at = prng.below(bytes.length + 1)
    const before = bytes.subarray(0, at)
    switch (prng.below(4)) {
      case 0: bytes = before; break
      case 1: bytes = Buffer.concat([before, bytes.subarray(prng.below(at + 1))]); break
      case 2:
        bytes = Buffer.concat([before, bytesOf(prng.between(0xc0, 0xdf)), bytes.subarray(at)])
        break
      default: if (at < bytes.length) bytes[at] = prng.below(256)
    }
  }
  return bytes
}

/** Whether a value is made of what plain MessagePack can say, and of nothing else. */
function isPlainValue(value: unknown): boolean {
  if (value === null || ['boolean', 'number', 'string'].includes(typeof value)) return true
  if (value instanceof Uint8Array || typeof value !== 'object') return typeof value === 'object'
  if (Array.isArray(value)) return value.every(isPlainValue)
  return Object.getPrototypeOf(value) === Object.prototype &&
    Object.values(value).every(isPlainValue)
}

test('untrusted: mutated bodies never throw, and what decodes is plain', () => {
  const prng = new Prng(SEED)
  const request = encodeValue({
    user_id: 'u', idempotent_key: 'k'.repeat(40), url: 'https://example.com/ü', method: 'POST',
    headers: { 'Content-Type': 'text/plain', 'X-Ключ': 'значение' }, body: 'text'.repeat(20),
    max_retries: 4, execute_before: 1_795_363_433_123, nested: [[{ a: [1.5, null, true] }]],
    bytes: Buffer.from([0, 1, 2, 255]),
  })
  let decoded = 0
  for (let round = 0; round < MUTATIONS; round++) {
    const original = prng.chance(0.7) ? request : encodeValue(drawValue(prng, 2))
    const bytes = mutate(prng, original)
    const message = `SLUICE_SEED=${SEED}, round ${round}: ${bytes.subarray(0, 200).toString('hex')}`
    let result
    try {
      result = decodeUntrusted(bytes)
    } catch (error) {
      assert.fail(`${message}: ${String(error)}`)
    }
    if (result.ok) assert.ok(isPlainValue(result.value), message)
    if (result.ok) decoded++
  }
  assert.ok(decoded > MUTATIONS / 100, `only ${decoded} decoded`)
  assert.deepEqual(Object.keys(Object.prototype), [])
  // The package's state between calls has survived all of that.
  assert.deepEqual(roundTrip(TEMPLATE, encodeTemplate, decodeTemplate), TEMPLATE)
})
