// The payload of a finished job's record: everything that its template does not contain.
// Thread: shard. Memory: reads and writes payloads in the given buffers.
// Never: returns views: the log may move a record, so a body is copied out.
//
//   0             8                10       11      12             14           16
//   | createdAtMs | responseStatus | status | flags | reason bytes | rule bytes | reason rule body
//     float64       uint16           uint8    uint8   uint16         uint16       UTF-8
//
// A custom format rather than MessagePack, since each result is written here and read again for its
// webhook. Numbers are little-endian and need not be aligned.

import { assert } from '../base/assert.ts'
import type { Reason } from '../wire/reasons.ts'

/** How a job ended, with the fields that polls and webhooks show. */
export interface StoredResult {
  /** Unix ms. */
  readonly createdAtMs: number
  readonly status: 'completed' | 'failed' | 'cancelled'
  /** HTTP status, or 0 for none. */
  readonly responseStatus: number
  readonly reason: Reason | null
  /** The rule that refuses the upstream's addresses; only with `address_refused`. */
  readonly rule?: string
  readonly body: Uint8Array | null
  readonly truncated: boolean
}

const RESPONSE_STATUS = 8
const STATUS = 10
const FLAGS = 11
const REASON_BYTES = 12
const RULE_BYTES = 14
const HEAD_BYTES = 16

const FLAG_REASON = 1
const FLAG_BODY = 2
const FLAG_TRUNCATED = 4

/** A stored status is an index here; changing the order breaks stored results. */
const STATUSES = ['completed', 'failed', 'cancelled'] as const

/** The number of bytes that writeResult() writes. */
export const resultBytes = ({ reason, rule, body }: StoredResult): number =>
  HEAD_BYTES + (reason === null ? 0 : Buffer.byteLength(reason)) +
    (rule === undefined ? 0 : Buffer.byteLength(rule)) + (body?.length ?? 0)

/** Writes a result at `start`; there must be resultBytes() of space. */
export function writeResult(bytes: Buffer, start: number, result: StoredResult): void {
  const { createdAtMs, responseStatus, status, reason, rule, body, truncated } = result
  const reasonAt = start + HEAD_BYTES
  const reasonBytes = reason === null ? 0 : bytes.write(reason, reasonAt)
  const ruleAt = reasonAt + reasonBytes
  const ruleBytes = rule === undefined ? 0 : bytes.write(rule, ruleAt)
  bytes.writeDoubleLE(createdAtMs, start)
  bytes.writeUInt16LE(responseStatus, start + RESPONSE_STATUS)
  bytes[start + STATUS] = STATUSES.indexOf(status)
  bytes[start + FLAGS] = (reason === null ? 0 : FLAG_REASON) | (body === null ? 0 : FLAG_BODY) |
    (truncated ? FLAG_TRUNCATED : 0)
  bytes.writeUInt16LE(reasonBytes, start + REASON_BYTES)
  bytes.writeUInt16LE(ruleBytes, start + RULE_BYTES)
  if (body !== null) bytes.set(body, ruleAt + ruleBytes)
}

/** Reads what writeResult() wrote, up to `end`. The body is a copy. */
export function readResult(bytes: Buffer, start: number, end: number): StoredResult {
  const result = readStoredResult(bytes, start)
  if (((bytes[start + FLAGS] as number) & FLAG_BODY) === 0) return result
  const length = readBodyBytes(bytes, start, end)
  const body = Buffer.allocUnsafe(length)
  bytes.copy(body, 0, end - length, end)
  return { ...result, body }
}

/** The same without the body. */
export function readStoredResult(bytes: Buffer, start: number): StoredResult {
  const status = STATUSES[bytes[start + STATUS] as number]
  assert(status !== undefined, 'a stored status out of range')
  const flags = bytes[start + FLAGS] as number
  const reasonAt = start + HEAD_BYTES
  const ruleAt = reasonAt + bytes.readUInt16LE(start + REASON_BYTES)
  const bodyAt = ruleAt + bytes.readUInt16LE(start + RULE_BYTES)
  return {
    createdAtMs: readCreatedAt(bytes, start),
    responseStatus: bytes.readUInt16LE(start + RESPONSE_STATUS),
    status, body: null,
    reason: (flags & FLAG_REASON) === 0 ? null
      : bytes.toString('utf8', reasonAt, ruleAt) as Reason,
    ...(bodyAt === ruleAt ? {} : { rule: bytes.toString('utf8', ruleAt, bodyAt) }),
    truncated: (flags & FLAG_TRUNCATED) !== 0,
  }
}

/** The length of the body that readResult() would return; 0 for none. */
export function readBodyBytes(bytes: Buffer, start: number, end: number): number {
  const length = end - start - HEAD_BYTES - bytes.readUInt16LE(start + REASON_BYTES) -
    bytes.readUInt16LE(start + RULE_BYTES)
  assert(length >= 0 && end <= bytes.length, 'a stored result outside its record')
  return length
}

/** When the job was created, in Unix ms; the cheap part of readResult(). */
export const readCreatedAt = (bytes: Buffer, start: number): number => bytes.readDoubleLE(start)
