// The load generator's WebSocket frames: made once, with fixed-width fields that are overwritten
// for each job. Their mask is zero, which RFC 6455 allows: masking would take processor time from a
// server on the same machine. Pure: no sockets, no time.

import { encodeValue } from '../../shards/wire/codec.ts'
import {
  type PayloadSettings, type RequestPattern, type Shape, jobFields, patch, patternPlaces,
} from './payloads.ts'

/** A ref before it is patched: too large for a shorter encoding. */
const REF_BLANK = 0xfeedbeef
const REF_FIRST = 0x10000
const FIN_BINARY = 0x82
const MASKED_LENGTH_64 = 0x80 | 127
const FRAME_HEAD_BYTES = 14

/** A frame with a fixed number of jobs. */
export interface Frame {
  readonly bytes: Buffer
  readonly jobs: readonly (RequestPattern & { readonly refAt: number })[]
}

/** Builds a frame. @param upstreamOf the upstream of each job, by its index in the frame. */
export function enqueueFrame(
  settings: PayloadSettings, jobs: number, shapeOf: (job: number) => Shape,
  upstreamOf: (job: number) => number,
): Frame {
  const encoded = Array.from({ length: jobs }, (_, job) => Buffer.from(encodeValue({
    ref: REF_BLANK, ...jobFields(settings, shapeOf(job), upstreamOf(job)),
  })))
  // An array of one job has another header, so the message is assembled by hand.
  const message = Buffer.concat([
    Buffer.from([0x82]), Buffer.from(encodeValue('type')), Buffer.from(encodeValue('enqueue')),
    Buffer.from(encodeValue('jobs')), Buffer.from([0xdc, jobs >>> 8, jobs & 0xff]), ...encoded,
  ])
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  head[0] = FIN_BINARY
  head[1] = MASKED_LENGTH_64
  head.writeBigUInt64BE(BigInt(message.length), 2)
  const bytes = Buffer.concat([head, message])
  let at = bytes.length - encoded.reduce((sum, { length }) => sum + length, 0)
  return {
    bytes,
    jobs: encoded.map((job) => {
      const places = patternPlaces(job, settings, at)
      const refAt = at + job.indexOf(Buffer.from([0xfe, 0xed, 0xbe, 0xef]))
      at += job.length
      return { ...places, bytes, jsonBytes: job.length, refAt }
    }),
  }
}

/** Patches the fields of one job. @param ref from 0 on; the server receives refText(). */
export function patchJob(
  frame: Frame, job: number, ref: number, account: number, sequence: number,
): void {
  const pattern = frame.jobs[job] as Frame['jobs'][number]
  patch(frame.bytes, pattern, account, sequence)
  frame.bytes.writeUInt32BE(REF_FIRST + ref, pattern.refAt)
}

/** `accepted` with one job and a ref as above: its head; the entries that follow have one size. */
const ACCEPTED_HEAD = Buffer.concat([
  Buffer.from([0x82]), Buffer.from(encodeValue('type')), Buffer.from(encodeValue('accepted')),
  Buffer.from(encodeValue('jobs')), Buffer.from([0xdc]),
])
const ENTRY = Buffer.from(encodeValue({ ref: REF_BLANK, job_id: '0'.repeat(24) }))
const ENTRY_REF_AT = ENTRY.indexOf(Buffer.from([0xfe, 0xed, 0xbe, 0xef]))

/**
 * Parses an `accepted` message in which every job was accepted, the usual case: calls `onRef` for
 * each, and returns true. For anything else it returns false without a call.
 */
export function readAllAccepted(message: Buffer, onRef: (ref: number) => void): boolean {
  const start = ACCEPTED_HEAD.length + 2
  if (message.length < start || ACCEPTED_HEAD.compare(message, 0, ACCEPTED_HEAD.length) !== 0) {
    return false
  }
  const count = message.readUInt16BE(ACCEPTED_HEAD.length)
  if (message.length !== start + count * ENTRY.length) return false
  for (let at = start; at < message.length; at += ENTRY.length) {
    if (message[at] !== ENTRY[0] || message[at + 1] !== ENTRY[1]) return false
  }
  for (let at = start + ENTRY_REF_AT; at < message.length; at += ENTRY.length) {
    onRef(message.readUInt32BE(at) - REF_FIRST)
  }
  return true
}

/** The ref that patchJob() wrote into an entry; -1 for none. */
export const refOf = (value: unknown): number =>
  typeof value === 'number' && value >= REF_FIRST ? value - REF_FIRST : -1
