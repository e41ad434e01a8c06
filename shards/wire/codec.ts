// Encodes and decodes the values in the job log and the rings, as plain MessagePack.
// Thread: any, each with its own instance of this module. Memory: a private scratch buffer; reads
// shared memory only to copy it there.
// Never: keeps a view of its input, or returns one of what it decodes from.
// Source: the msgpackr package, which only this file imports.
//
// Why the scratch copy: msgpackr's native reader cannot read strings from shared memory and returns
// binary fields as views of its source. From a private copy both are safe, and binary fields are
// copied once more, exact in length, because the next decode overwrites the scratch.
// Why arrays in fixed order: half the bytes of maps, and no keys to check. Records (msgpackr's
// schema extension) are off, since a reader would need the writer's schema state.

import { Packr } from 'msgpackr'
import { assert } from '../base/assert.ts'
import { powerOfTwoAtLeast } from '../base/units.ts'
import { MSGPACK_DEPTH_MAX } from '../memory/limits.ts'
import { isPlainMsgpack } from './msgpack-check.ts'

/** The part that jobs of a lane usually have in common; stored once for all of them. */
export interface Template {
  userId: string
  url: string
  method: string
  /** Name, value, name, value … */
  headers: readonly string[]
  webhookUrl: string | null
  /** The webhook receiver's upstream slot, or NONE. */
  receiver: number
}

/** The part that is specific to a job. */
export interface JobPayload {
  /** Unix ms. */
  createdAtMs: number
  /** Unix ms, or 0 for none. */
  executeBeforeMs: number
  body: Uint8Array | null
}

type TemplateFields = [
  userId: string, url: string, method: string, headers: readonly string[],
  webhookUrl: string | null, receiver: number,
]
const TEMPLATE_FIELDS = 6

/** For jobBytes() and writeJobHead(): the job has none. */
export const NO_BODY = -1
// A job is an array of createdAtMs, executeBeforeMs and body: float64, float64 or 0, bytes or nil.
const ARRAY_OF_JOB = 0x93
/** Six fields, of which the first three are strings. */
const ARRAY_OF_TEMPLATE = 0x96
const FIX_STRING = 0xa0
const FIX_STRING_BYTES_MAX = 0x1f
const STRING8 = 0xd9
const STRING16 = 0xda
const FLOAT64 = 0xcb
const FLOAT64_BYTES = 9
const NIL = 0xc0
const BIN8 = 0xc4
const BIN16 = 0xc5
const BIN32 = 0xc6

const OPTIONS = {
  useRecords: false,
  mapsAsObjects: true,
  // Maps of any size, with the shortest header; the default stops at 65,535 entries.
  variableMapSize: true,
  // Otherwise undefined is encoded as an extension.
  encodeUndefinedAsNil: true,
  // Exact to 2^53; a bigint would break arithmetic and JSON.stringify.
  int64AsType: 'number',
  largeBigIntToFloat: true,
  copyBuffers: true,
} as const

const packr = new Packr(OPTIONS)

/** Decodes maps as Map, which keeps the key `__proto__`; as an object msgpackr renames it. */
const mapPackr = new Packr({ ...OPTIONS, mapsAsObjects: false })
const PROTO = '__proto__'
const PROTO_BYTES = Buffer.from(PROTO)

const SCRATCH_BYTES_MIN = 16 * 1024
/** Grows to the largest record or request body that this thread has decoded; both are bounded. */
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES_MIN)

/** The bytes stay valid after later calls, but pin a larger buffer, so copy them soon. */
export function encodeTemplate(template: Template): Uint8Array {
  const fields: TemplateFields = [
    template.userId, template.url, template.method, template.headers, template.webhookUrl,
    template.receiver,
  ]
  return packr.pack(fields)
}

/** @param start the first byte of the template in `bytes`, `end` the one after its last. */
export function decodeTemplate(bytes: Buffer, start: number, end: number): Template {
  const [userId, url, method, headers, webhookUrl, receiver] =
    decodeFields<TemplateFields>(bytes, start, end, TEMPLATE_FIELDS)
  return { userId, url, method, headers, webhookUrl, receiver }
}

/** Where an encoded template's URL and method, which are adjacent, begin. */
export const requestStart = (bytes: Uint8Array, start: number): number => {
  assert(bytes[start] === ARRAY_OF_TEMPLATE, 'a template is no array of its fields')
  return stringEnd(bytes, start + 1)
}

/** Where they end. @param start from requestStart(). */
export const requestEnd = (bytes: Uint8Array, start: number): number =>
  stringEnd(bytes, stringEnd(bytes, start))

/** The size of an encoded job. @param bodyBytes the size of its body, or NO_BODY. */
export const jobBytes = (executeBeforeMs: number, bodyBytes: number): number =>
  1 + FLOAT64_BYTES + (executeBeforeMs === 0 ? 1 : FLOAT64_BYTES) + binHeadBytes(bodyBytes) +
  Math.max(bodyBytes, 0)

/**
 * Writes an encoded job except its body, and returns where the body belongs. Hand-written, directly
 * into shared memory: every job passes here, and its body is copied once instead of three times.
 */
export function writeJobHead(
  bytes: Uint8Array, start: number, createdAtMs: number, executeBeforeMs: number,
  bodyBytes: number,
): number {
  let at = start
  bytes[at++] = ARRAY_OF_JOB
  at = writeFloat64(bytes, at, createdAtMs)
  if (executeBeforeMs === 0) bytes[at++] = 0
  else at = writeFloat64(bytes, at, executeBeforeMs)
  if (bodyBytes === NO_BODY) {
    bytes[at++] = NIL
  } else if (bodyBytes <= 0xff) {
    bytes[at++] = BIN8
    bytes[at++] = bodyBytes
  } else {
    bytes[at++] = bodyBytes <= 0xffff ? BIN16 : BIN32
    for (let shift = bodyBytes <= 0xffff ? 8 : 24; shift >= 0; shift -= 8) {
      bytes[at++] = bodyBytes >>> shift
    }
  }
  return at
}

/** When the job was created, in Unix ms; the cheap part of decodeJob(). */
export const decodeCreatedAt = (bytes: Uint8Array, start: number): number => {
  assert(bytes[start] === ARRAY_OF_JOB, 'a stored job is no array of its fields')
  return readFloat64(bytes, start + 1)
}

/** Where the body of an encoded job begins; its end if it has none. */
export const bodyStart = (bytes: Uint8Array, start: number): number => {
  const at = start + 1 + FLOAT64_BYTES
  const kindAt = bytes[at] === 0 ? at + 1 : at + FLOAT64_BYTES
  const kind = bytes[kindAt] as number
  return kind === NIL ? kindAt + 1 : kindAt + 1 + (1 << (kind - BIN8))
}

/** The body is a copy, which may pin Buffer's pool of 8 KiB: not to be kept for long. */
export function decodeJob(bytes: Buffer, start: number, end: number): JobPayload {
  assert(start < end && end <= bytes.length, 'a job outside its buffer')
  const createdAtMs = decodeCreatedAt(bytes, start)
  let at = start + 1 + FLOAT64_BYTES
  const isTimed = bytes[at] !== 0
  const executeBeforeMs = isTimed ? readFloat64(bytes, at) : 0
  at += isTimed ? FLOAT64_BYTES : 1
  const kind = bytes[at] as number
  if (kind === NIL) {
    assert(at + 1 === end, 'a stored job has another length')
    return { createdAtMs, executeBeforeMs, body: null }
  }
  assert(kind >= BIN8 && kind <= BIN32, 'a stored job has a body that is not binary')
  let bodyBytes = 0
  const lengthEnd = at + 1 + (1 << (kind - BIN8))
  for (at++; at < lengthEnd; at++) bodyBytes = (bodyBytes << 8) | (bytes[at] as number)
  assert(at + bodyBytes === end, 'a stored job has another length')
  // From the pool: a body lives as long as its attempt, and one ArrayBuffer per body was most of a
  // sending shard's garbage collection.
  const body = Buffer.allocUnsafe(bodyBytes)
  bytes.copy(body, 0, at, end)
  return { createdAtMs, executeBeforeMs, body }
}

/** Encodes any JSON value, and Uint8Array; undefined becomes null. */
export function encodeValue(value: unknown): Uint8Array {
  return packr.pack(value)
}

/** Decodes what encodeValue() wrote. Throws on anything else: these bytes are the engine's own. */
export function decodeValue(bytes: Buffer, start: number, end: number): unknown {
  assert(start >= 0 && start < end && end <= bytes.length, 'a value outside its buffer')
  const length = end - start
  reserveScratch(length)
  bytes.copy(scratch, 0, start, end)
  return packr.unpack(scratch, length)
}

/**
 * Decodes a request body. Never throws. Accepts one plain value (see msgpack-check.ts) without
 * trailing bytes, at most MSGPACK_DEPTH_MAX deep. Integers beyond 2^53 lose their last bits. Every
 * key, `__proto__` too, becomes an own property, whatever it shadows, as with JSON.parse(). The
 * caller limits the length of `bytes`.
 */
export function decodeUntrusted(
  bytes: Uint8Array,
): { ok: true; value: unknown } | { ok: false } {
  if (!isPlainMsgpack(bytes, MSGPACK_DEPTH_MAX)) return { ok: false }
  reserveScratch(bytes.length)
  scratch.set(bytes)
  try {
    if (scratch.subarray(0, bytes.length).includes(PROTO_BYTES)) {
      return { ok: true, value: withObjects(mapPackr.unpack(scratch, bytes.length)) }
    }
    return { ok: true, value: packr.unpack(scratch, bytes.length) }
  } catch {
    // What passed the check decodes; if the package disagrees, the caller gets a normal error.
    return { ok: false }
  }
}

/** Replaces Maps by objects, recursively. */
function withObjects(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withObjects)
  if (!(value instanceof Map)) return value
  const object: Record<string, unknown> = {}
  for (const [key, item] of value as Map<string, unknown>) {
    const plain = withObjects(item)
    if (key !== PROTO) object[key] = plain
    else {
      // An assignment would set the prototype.
      Object.defineProperty(object, key, {
        value: plain, configurable: true, enumerable: true, writable: true,
      })
    }
  }
  return object
}

function decodeFields<Fields extends unknown[]>(
  bytes: Buffer, start: number, end: number, count: Fields['length'],
): Fields {
  const fields = decodeValue(bytes, start, end)
  assert(Array.isArray(fields), 'a stored value is not an array of fields')
  assert(fields.length === count, 'a stored value has another number of fields')
  return fields as Fields
}

function reserveScratch(length: number): void {
  if (length <= scratch.length) return
  scratch = Buffer.allocUnsafeSlow(powerOfTwoAtLeast(length))
}

/** The offset after a string. */
function stringEnd(bytes: Uint8Array, start: number): number {
  const kind = bytes[start] as number
  if (kind >= FIX_STRING && kind <= FIX_STRING + FIX_STRING_BYTES_MAX) {
    return start + 1 + kind - FIX_STRING
  }
  if (kind === STRING8) return start + 2 + (bytes[start + 1] as number)
  assert(kind === STRING16, 'a field of a template is not a string')
  return start + 3 + ((bytes[start + 1] as number) << 8 | (bytes[start + 2] as number))
}

const binHeadBytes = (bodyBytes: number): number => {
  if (bodyBytes === NO_BODY) return 1
  if (bodyBytes <= 0xff) return 2
  return bodyBytes <= 0xffff ? 3 : 5
}

/** One float64 as bytes, little-endian as on all machines that Sluice runs on. */
const float64 = new Float64Array(1)
const float64Bytes = new Uint8Array(float64.buffer)

/** @returns the offset of the next value. */
function writeFloat64(bytes: Uint8Array, start: number, value: number): number {
  float64[0] = value
  bytes[start] = FLOAT64
  for (let at = 0; at < 8; at++) bytes[start + 1 + at] = float64Bytes[7 - at] as number
  return start + FLOAT64_BYTES
}

function readFloat64(bytes: Uint8Array, start: number): number {
  assert(bytes[start] === FLOAT64, 'a stored number is not a float64')
  for (let at = 0; at < 8; at++) float64Bytes[7 - at] = bytes[start + 1 + at] as number
  return float64[0] as number
}
