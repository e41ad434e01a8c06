// Values to bytes and back: what rests in the job log and crosses the rings. Plain MessagePack.
// Thread: any, each with an instance of this module. Memory: a scratch buffer of its own; reads
// shared memory only to copy it there.
// Never: keeps a view of what it was given, or lends one of what it decodes from.
// Source: the msgpackr package, which only this file imports.
//
// Why the scratch copy: msgpackr's native reader cannot read strings from shared memory and returns
// binary fields as views of its source. From a private copy both are safe, and binary fields are
// copied once more, exact in length, because the next decode overwrites the scratch.
// Why arrays in fixed order: half the bytes of maps, and no keys to check. Records (msgpackr's
// schema extension) are off, since a reader would have to have seen what the writer saw.

import { Packr } from 'msgpackr'
import { assert } from '../base/assert.ts'
import { powerOfTwoAtLeast } from '../base/units.ts'
import { MSGPACK_DEPTH_MAX } from '../memory/limits.ts'
import { isPlainMsgpack } from './msgpack-check.ts'

/** What the jobs of one lane mostly have in common; stored once for all of them. */
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

/** What a job has to itself. */
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
/** Six fields, of which the first three are texts. */
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
  // Else undefined is an extension.
  encodeUndefinedAsNil: true,
  // Exact to 2^53; a bigint would break arithmetic and JSON.stringify.
  int64AsType: 'number',
  largeBigIntToFloat: true,
  copyBuffers: true,
} as const

const packr = new Packr(OPTIONS)

/** Reads a map as a Map, whose keys are what they were; an object's `__proto__` is renamed. */
const mapPackr = new Packr({ ...OPTIONS, mapsAsObjects: false })
const PROTO = '__proto__'
const PROTO_BYTES = Buffer.from(PROTO)

const SCRATCH_BYTES_MIN = 16 * 1024
/** Grows to the largest record or request body that this thread has seen; both are bounded. */
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES_MIN)

/** The bytes stay valid after later calls; they pin a larger buffer, so copy them soon. */
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

/** Where an encoded template says what is asked of whom: its URL and its method, one by one. */
export const requestStart = (bytes: Uint8Array, start: number): number => {
  assert(bytes[start] === ARRAY_OF_TEMPLATE, 'a template is no array of its fields')
  return stringEnd(bytes, start + 1)
}

/** And where that ends. @param start as requestStart() says. */
export const requestEnd = (bytes: Uint8Array, start: number): number =>
  stringEnd(bytes, stringEnd(bytes, start))

/** The bytes of an encoded job. @param bodyBytes those of its body, or NO_BODY. */
export const jobBytes = (executeBeforeMs: number, bodyBytes: number): number =>
  1 + FLOAT64_BYTES + (executeBeforeMs === 0 ? 1 : FLOAT64_BYTES) + binHeadBytes(bodyBytes) +
  Math.max(bodyBytes, 0)

/**
 * Writes an encoded job but for its body, and returns where that belongs. By hand, straight into
 * shared memory: every job passes here, and its body is copied once instead of three times.
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

/** When the job came, in Unix ms; the cheap part of decodeJob(). */
export const decodeCreatedAt = (bytes: Uint8Array, start: number): number => {
  assert(bytes[start] === ARRAY_OF_JOB, 'a stored job is no array of its fields')
  return readFloat64(bytes, start + 1)
}

/** Where the body of an encoded job begins, which is its end if it has none. */
export const bodyStart = (bytes: Uint8Array, start: number): number => {
  const at = start + 1 + FLOAT64_BYTES
  const kindAt = bytes[at] === 0 ? at + 1 : at + FLOAT64_BYTES
  const kind = bytes[kindAt] as number
  return kind === NIL ? kindAt + 1 : kindAt + 1 + (1 << (kind - BIN8))
}

/** The body is a copy, which may keep a pool of 8 KiB: not to be held for long. */
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
  assert(kind >= BIN8 && kind <= BIN32, 'a stored job has a body that is no bytes')
  let bodyBytes = 0
  const lengthEnd = at + 1 + (1 << (kind - BIN8))
  for (at++; at < lengthEnd; at++) bodyBytes = (bodyBytes << 8) | (bytes[at] as number)
  assert(at + bodyBytes === end, 'a stored job has another length')
  // From the pool: a body lives as long as its attempt, and one ArrayBuffer for each is what
  // garbage collection of a sending shard was mostly about.
  const body = Buffer.allocUnsafe(bodyBytes)
  bytes.copy(body, 0, at, end)
  return { createdAtMs, executeBeforeMs, body }
}

/** Any value that JSON could carry, and Uint8Array; undefined becomes null. */
export function encodeValue(value: unknown): Uint8Array {
  return packr.pack(value)
}

/** Reads what encodeValue() wrote. Throws at anything else: these bytes are the engine's own. */
export function decodeValue(bytes: Buffer, start: number, end: number): unknown {
  assert(start >= 0 && start < end && end <= bytes.length, 'a value outside its buffer')
  const length = end - start
  reserveScratch(length)
  bytes.copy(scratch, 0, start, end)
  return packr.unpack(scratch, length)
}

/**
 * Reads a request body. Never throws. Takes one plain value (see msgpack-check.ts) and nothing
 * behind it, at most MSGPACK_DEPTH_MAX deep. Integers beyond 2^53 lose their last bits. Every key,
 * `__proto__` too, is the object's own property, whatever it shadows, as JSON.parse() has it. The
 * caller has bounded the length of `bytes`.
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
    // What passed the check decodes; should the package disagree, the caller gets a plain answer.
    return { ok: false }
  }
}

/** A value whose maps are Maps, with objects in their place. */
function withObjects(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withObjects)
  if (!(value instanceof Map)) return value
  const object: Record<string, unknown> = {}
  for (const [key, item] of value as Map<string, unknown>) {
    const plain = withObjects(item)
    if (key !== PROTO) object[key] = plain
    else {
      // To assign it would set the prototype.
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
  assert(Array.isArray(fields), 'a stored value is no array of fields')
  assert(fields.length === count, 'a stored value has another number of fields')
  return fields as Fields
}

function reserveScratch(length: number): void {
  if (length <= scratch.length) return
  scratch = Buffer.allocUnsafeSlow(powerOfTwoAtLeast(length))
}

/** The first byte behind a text. */
function stringEnd(bytes: Uint8Array, start: number): number {
  const kind = bytes[start] as number
  if (kind >= FIX_STRING && kind <= FIX_STRING + FIX_STRING_BYTES_MAX) {
    return start + 1 + kind - FIX_STRING
  }
  if (kind === STRING8) return start + 2 + (bytes[start + 1] as number)
  assert(kind === STRING16, 'a field of a template is no text')
  return start + 3 + ((bytes[start + 1] as number) << 8 | (bytes[start + 2] as number))
}

const binHeadBytes = (bodyBytes: number): number => {
  if (bodyBytes === NO_BODY) return 1
  if (bodyBytes <= 0xff) return 2
  return bodyBytes <= 0xffff ? 3 : 5
}

/** One float64 as bytes, least significant first as on all machines that this runs on. */
const float64 = new Float64Array(1)
const float64Bytes = new Uint8Array(float64.buffer)

/** @returns where the next value goes. */
function writeFloat64(bytes: Uint8Array, start: number, value: number): number {
  float64[0] = value
  bytes[start] = FLOAT64
  for (let at = 0; at < 8; at++) bytes[start + 1 + at] = float64Bytes[7 - at] as number
  return start + FLOAT64_BYTES
}

function readFloat64(bytes: Uint8Array, start: number): number {
  assert(bytes[start] === FLOAT64, 'a stored number is no float64')
  for (let at = 0; at < 8; at++) float64Bytes[7 - at] = bytes[start + 1 + at] as number
  return float64[0] as number
}
