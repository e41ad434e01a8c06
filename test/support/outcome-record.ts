// Decodes records of the answer ring as plain values for tests to compare.

import assert from 'node:assert/strict'
import type { RingReader } from '../../shards/memory/ring.ts'
import { decodeValue } from '../../shards/wire/codec.ts'
import * as contract from '../../shards/wire/contract.ts'

/** One record of the answer ring. */
export type AnyOutcome =
  | { readonly kind: 'accepted'; readonly request: number }
  | { readonly kind: 'duplicate'; readonly request: number; readonly id: string
      readonly status: contract.JobStatus; readonly result: contract.JobResult | null }
  | { readonly kind: 'refused'; readonly request: number; readonly reason: number
      readonly limit: number; readonly current: number }
  | { readonly kind: 'job'; readonly request: number; readonly code: number
      readonly view: contract.JobSnapshot | null }
  | { readonly kind: 'event'; readonly id: string; readonly event: string; readonly data: unknown }
  | { readonly kind: 'released'; readonly request: number; readonly done: boolean }
  | { readonly kind: 'dropped'; readonly request: number }
  | { readonly kind: 'warning'; readonly upstream: number; readonly warning: unknown }

/** Reads one record and asserts that it has the length of its kind. */
export function readStoredResult(
  ring: RingReader, kind: number, offset: number, length: number,
): AnyOutcome {
  const word = (at: number): number => ring.u32[offset / 4 + at] as number
  const id = (at: number): string =>
    [word(at), word(at + 1), word(at + 2)].map((w) => w.toString(16).padStart(8, '0')).join('')
  const value = (from: number): unknown => decodeValue(ring.bytes, offset + from, offset + length)
  switch (kind) {
    case contract.ANSWER_ACCEPTED:
      assert.equal(length, contract.ACCEPTED_BYTES)
      return { kind: 'accepted', request: word(0) }
    case contract.ANSWER_DUPLICATE:
      return {
        kind: 'duplicate', request: word(0), id: id(1),
        status: contract.STATUS_OF_STATE[word(4)] as contract.JobStatus,
        result: value(contract.DUPLICATE_HEADER_BYTES) as contract.JobResult | null,
      }
    case contract.ANSWER_REFUSED:
      assert.equal(length, contract.REFUSED_BYTES)
      return {
        kind: 'refused', request: word(0), reason: word(1),
        limit: ring.f64[offset / 8 + 1] as number, current: ring.f64[offset / 8 + 2] as number,
      }
    case contract.ANSWER_JOB:
      return {
        kind: 'job', request: word(0), code: word(1),
        view: value(contract.JOB_HEADER_BYTES) as contract.JobSnapshot | null,
      }
    case contract.ANSWER_EVENT:
      return {
        kind: 'event', id: id(1), event: contract.EVENT_NAMES[word(0)] as string,
        data: value(contract.EVENT_HEADER_BYTES),
      }
    case contract.ANSWER_RELEASED:
      assert.equal(length, contract.RELEASED_BYTES)
      return { kind: 'released', request: word(0), done: word(1) === 1 }
    case contract.ANSWER_DROPPED:
      return { kind: 'dropped', request: word(0) }
    case contract.ANSWER_WARNING:
      return {
        kind: 'warning', upstream: word(0), warning: value(contract.WARNING_HEADER_BYTES),
      }
    default:
      return assert.fail(`an outcome of kind ${kind}`)
  }
}
