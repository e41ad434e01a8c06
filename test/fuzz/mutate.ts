// Inputs for the fuzzer: messages and batches that make sense, then damaged, by bytes or by values.

import { pack } from 'msgpackr'
import type { Prng } from '../../shards/base/prng.ts'

const JOB = {
  user_id: 'ann', idempotent_key: 'key', url: 'http://api.example/v1', method: 'POST',
  headers: { Authorization: 'Bearer t', 'X-Any': 'thing' }, body: 'hi ü "\\" \n', delivery: 'poll',
}
const ID = '80000000aaaaaaaabbbbbbbb'

/** Values that are at home nowhere. */
const ODD: readonly unknown[] = [
  null, true, false, 0, -1, 1.5, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), Number.MAX_VALUE, '', ' ',
  '\0', 'é', '\ud83d\ude80', 'x'.repeat(300), 'x'.repeat(9000), [], [[]], [[[[[[[[]]]]]]]], {},
  { a: { b: { c: {} } } }, { ['__proto__']: null, constructor: 1 }, 'http://[::1', 'http://u:p@h/',
  Buffer.from([0xff, 0xfe]), [null], 'enqueue', 'watch', ID, -0,
]

const INTERESTING_BYTES = [
  0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xca, 0xcb,
  0xcc, 0xcf, 0xd3, 0xd4, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff, 0x22, 0x5b, 0x5c, 0x5d,
  0x7b, 0x7d, 0x2c, 0x3a, 0x0a, 0x20, 0xc3, 0xe9, 0xed,
]

/** A message that makes sense, for the most part. */
function message(prng: Prng): Record<string, unknown> {
  const jobs = (): object[] => Array.from({ length: prng.below(5) }, () => job(prng))
  switch (prng.below(8)) {
    case 0: return { type: 'watch', job_id: ID, ref: prng.below(300) }
    case 1: return { type: 'unwatch', job_ids: [ID, ID] }
    case 2: return { type: 'cancel', job_ids: [ID] }
    case 3: return { type: 'ping', ref: 'p' }
    case 4: return { type: 'enqueue', job: job(prng), account_queue: 'enabled' }
    default: return { type: 'enqueue', jobs: jobs() }
  }
}

function job(prng: Prng): Record<string, unknown> {
  return {
    ref: prng.chance(0.7) ? prng.below(2 ** 32) : `r${prng.below(99)}`, ...JOB,
    idempotent_key: `key-${prng.below(1000)}`, body: 'b'.repeat(prng.below(400)),
    ...(prng.chance(0.2) ? { watch: true } : {}),
  }
}

/** One field, somewhere, becomes something else, goes, or comes. */
function damageValue(prng: Prng, value: unknown): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return
  const fields = value as Record<string, unknown>
  const names = Object.keys(fields)
  const name = names[prng.below(Math.max(1, names.length))] ?? 'new'
  if (prng.chance(0.5) && typeof fields[name] === 'object') return damageValue(prng, fields[name])
  const dice = prng.below(4)
  if (dice === 0) delete fields[name]
  else if (dice === 1) fields[`${name}_`] = fields[name]
  else fields[name] = structuredClone(ODD[prng.below(ODD.length)])
}

/** Some bytes change, go, come, or change places. */
function damageBytes(prng: Prng, bytes: Buffer): Buffer {
  const at = prng.below(bytes.length + 1)
  const length = prng.below(Math.min(32, bytes.length + 1))
  const copy = Buffer.from(bytes)
  const anyByte = (): number => prng.chance(0.6)
    ? INTERESTING_BYTES[prng.below(INTERESTING_BYTES.length)] as number : prng.below(256)
  switch (prng.below(6)) {
    case 0:
      if (at < copy.length) copy[at] = (copy[at] as number) ^ (1 << prng.below(8))
      return copy
    case 1:
      if (at < copy.length) copy[at] = anyByte()
      return copy
    case 2: return Buffer.concat([copy.subarray(0, at), copy.subarray(at + length)])
    case 3: return copy.subarray(0, at)
    case 4: {
      const again = copy.subarray(Math.max(0, at - length))
      return Buffer.concat([copy.subarray(0, at), again])
    }
    default: {
      const fresh = Buffer.from(Array.from({ length }, anyByte))
      return Buffer.concat([copy.subarray(0, at), fresh, copy.subarray(at)])
    }
  }
}

/** A frame. */
export interface Input {
  readonly bytes: Buffer
  readonly isBinary: boolean
}

/** One frame, damaged in most cases. Text stays UTF-8, since the library refuses other text. */
export function frameInput(prng: Prng): Input {
  const value = message(prng)
  while (prng.chance(0.3)) damageValue(prng, value)
  const isBinary = prng.chance(0.6)
  let bytes: Buffer = isBinary ? Buffer.from(pack(value)) : Buffer.from(JSON.stringify(value))
  while (prng.chance(0.4)) bytes = damageBytes(prng, bytes)
  return isBinary ? { bytes, isBinary } : { bytes: Buffer.from(bytes.toString()), isBinary }
}

/** The body of a batch, damaged in most cases. */
export function batchInput(prng: Prng): Buffer {
  const jobs = Array.from({ length: prng.below(6) }, () => {
    const value = job(prng)
    while (prng.chance(0.2)) damageValue(prng, value)
    return JSON.stringify(value)
  })
  let bytes: Buffer = Buffer.from(prng.chance(0.5)
    ? jobs.join('\n') : `[${jobs.join(',')}]`)
  while (prng.chance(0.4)) bytes = damageBytes(prng, bytes)
  return bytes
}
