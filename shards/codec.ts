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
import { assert } from './assert.ts'
import { MSGPACK_DEPTH_MAX } from './limits.ts'
import { isPlainMsgpack } from './msgpack-check.ts'
import { powerOfTwoAtLeast } from './units.ts'

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

/** What is kept of a finished job: its outcome, and what polls and webhooks show with it. */
export interface StoredResult {
  url: string
  method: string
  /** Unix ms. */
  createdAtMs: number
  webhookUrl: string | null
  /** The webhook receiver's upstream slot, or NONE. */
  receiver: number
  status: 'completed' | 'failed' | 'cancelled'
  /** HTTP status, or 0 for none. */
  responseStatus: number
  reason: string | null
  body: Uint8Array | null
  truncated: boolean
}

type TemplateFields = [
  userId: string, url: string, method: string, headers: readonly string[],
  webhookUrl: string | null, receiver: number,
]
const TEMPLATE_FIELDS = 6

type JobFields = [createdAtMs: number, executeBeforeMs: number, body: Uint8Array | null]
const JOB_FIELDS = 3

type ResultFields = [
  url: string, method: string, createdAtMs: number, webhookUrl: string | null, receiver: number,
  status: number, responseStatus: number, reason: string | null, body: Uint8Array | null,
  truncated: boolean,
]
const RESULT_FIELDS = 10

/** A stored status is its place here; changing the order makes old journals lie. */
const STATUSES = ['completed', 'failed', 'cancelled'] as const

const packr = new Packr({
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
})

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

/** The bytes stay valid after later calls; they pin a larger buffer, so copy them soon. */
export function encodeJob(job: JobPayload): Uint8Array {
  const fields: JobFields = [job.createdAtMs, job.executeBeforeMs, job.body]
  return packr.pack(fields)
}

/** The body is a copy of its own. */
export function decodeJob(bytes: Buffer, start: number, end: number): JobPayload {
  const [createdAtMs, executeBeforeMs, body] =
    decodeFields<JobFields>(bytes, start, end, JOB_FIELDS)
  return { createdAtMs, executeBeforeMs, body }
}

/** The bytes stay valid after later calls; they pin a larger buffer, so copy them soon. */
export function encodeResult(result: StoredResult): Uint8Array {
  const fields: ResultFields = [
    result.url, result.method, result.createdAtMs, result.webhookUrl, result.receiver,
    STATUSES.indexOf(result.status), result.responseStatus, result.reason, result.body,
    result.truncated,
  ]
  return packr.pack(fields)
}

/** The body is a copy of its own. */
export function decodeResult(bytes: Buffer, start: number, end: number): StoredResult {
  const [url, method, createdAtMs, webhookUrl, receiver, statusPlace, responseStatus, reason, body,
    truncated] = decodeFields<ResultFields>(bytes, start, end, RESULT_FIELDS)
  const status = STATUSES[statusPlace]
  assert(status !== undefined, 'a stored status out of range')
  return {
    url, method, createdAtMs, webhookUrl, receiver, status, responseStatus, reason, body, truncated,
  }
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
 * behind it, at most MSGPACK_DEPTH_MAX deep. Integers beyond 2^53 lose their last bits. A key
 * `__proto__` is renamed `__proto_`; any other key is the object's own property, whatever it
 * shadows. The caller has bounded the length of `bytes`.
 */
export function decodeUntrusted(
  bytes: Uint8Array,
): { ok: true; value: unknown } | { ok: false } {
  if (!isPlainMsgpack(bytes, MSGPACK_DEPTH_MAX)) return { ok: false }
  reserveScratch(bytes.length)
  scratch.set(bytes)
  try {
    return { ok: true, value: packr.unpack(scratch, bytes.length) }
  } catch {
    // What passed the check decodes; should the package disagree, the caller gets a plain answer.
    return { ok: false }
  }
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
