// Messages of clients over a WebSocket: a frame is decoded to one message, or to an error.

import { readAccountQueue } from '../../shards/signals/pace-headers.ts'
import { decodeUntrusted } from '../../shards/wire/codec.ts'
import type { Denial, ErrorCode } from '../base/errors.ts'
import { MESSAGE_JOBS_MAX } from '../base/limits.ts'
import type { Ref } from '../job/asker.ts'
import { isPlainObject } from '../job/job-headers.ts'
import { parseBody } from '../job/parse-body.ts'
import { readRef, REF_FAULT } from '../job/read-ref.ts'

/** A valid message. */
export type ClientMessage =
  | { readonly type: 'enqueue'; readonly jobs: readonly unknown[]
      readonly wantsAccountQueue: boolean }
  | { readonly type: 'watch' | 'unwatch' | 'cancel'; readonly jobIds: readonly string[]
      readonly ref: Ref | undefined }
  | { readonly type: 'ping'; readonly ref: Ref | undefined }

/** An invalid message: what is wrong with it, and its ref if it could be read. */
export interface Malformed {
  readonly type: 'malformed'
  readonly denial: Denial
  readonly ref: Ref | undefined
}

/** Reads one frame. Never throws, whatever is in it. */
export function readMessage(bytes: Buffer, isBinary: boolean): ClientMessage | Malformed {
  const parsed = isBinary ? unpack(bytes) : parse(bytes)
  if (!parsed.ok) return malformed(parsed.code, parsed.error)
  const { value } = parsed
  if (!isPlainObject(value)) return malformed('not_an_object', 'the frame is not an object')
  const ref = value['ref'] === undefined ? undefined : readRef(value['ref'])
  if (ref === null) return malformed('invalid_ref', REF_FAULT, 'ref')
  const { type } = value
  if (typeof type !== 'string') {
    return malformed('invalid_message', 'type is not a string', 'type', ref)
  }
  switch (type) {
    case 'enqueue': return readEnqueue(value, ref)
    case 'watch': case 'unwatch': case 'cancel': return readAboutJobs(type, value, ref)
    case 'ping': return { type, ref }
    default: return malformed('invalid_message',
      'type is none of enqueue, watch, unwatch, cancel, ping', 'type', ref)
  }
}

type Parsed =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: ErrorCode; readonly error: string }

function unpack(bytes: Buffer): Parsed {
  const decoded = decodeUntrusted(bytes)
  return decoded.ok ? decoded : { ok: false, code: 'invalid_msgpack',
    error: 'a binary frame is one plain MessagePack value; this is none' }
}

function parse(bytes: Buffer): Parsed {
  const parsed = parseBody(bytes, 'json')
  return parsed.ok ? parsed
    : { ok: false, code: 'invalid_json', error: parsed.error.replace('the body', 'the frame') }
}

function malformed(code: ErrorCode, error: string, field = '', ref?: Ref): Malformed {
  return { type: 'malformed', ref, denial: { code, error, more: { field } } }
}

function readEnqueue(
  value: Record<string, unknown>, ref: Ref | undefined,
): ClientMessage | Malformed {
  const { job, jobs, account_queue: accountQueue } = value
  if (accountQueue !== undefined && accountQueue !== null &&
    (typeof accountQueue !== 'string' || readAccountQueue(accountQueue) === undefined)) {
    return malformed('wrong_type', 'account_queue is neither "enabled" nor "disabled"',
      'account_queue', ref)
  }
  const wantsAccountQueue =
    typeof accountQueue === 'string' && readAccountQueue(accountQueue) === true
  if (job !== undefined && jobs !== undefined) {
    return malformed('conflicting_fields', 'job and jobs are both given', 'jobs', ref)
  }
  if (job !== undefined) return { type: 'enqueue', jobs: [job], wantsAccountQueue }
  if (jobs === undefined) return malformed('missing_field', 'jobs is required', 'jobs', ref)
  if (!Array.isArray(jobs)) return malformed('wrong_type', 'jobs is not an array', 'jobs', ref)
  if (jobs.length > MESSAGE_JOBS_MAX) return tooMany('jobs', ref)
  return { type: 'enqueue', jobs, wantsAccountQueue }
}

function readAboutJobs(
  type: 'watch' | 'unwatch' | 'cancel', value: Record<string, unknown>, ref: Ref | undefined,
): ClientMessage | Malformed {
  const { job_id: jobId, job_ids: jobIds } = value
  if (jobId !== undefined && jobIds !== undefined) {
    return malformed('conflicting_fields', 'job_id and job_ids are both given', 'job_ids', ref)
  }
  if (jobId !== undefined) {
    return typeof jobId === 'string' ? { type, jobIds: [jobId], ref }
      : malformed('wrong_type', 'job_id is not a string', 'job_id', ref)
  }
  if (jobIds === undefined) {
    return malformed('missing_field', 'job_id or job_ids is required', 'job_id', ref)
  }
  if (!Array.isArray(jobIds) || !jobIds.every((id) => typeof id === 'string')) {
    return malformed('wrong_type', 'job_ids is not an array of strings', 'job_ids', ref)
  }
  if (jobIds.length > MESSAGE_JOBS_MAX) return tooMany('job_ids', ref)
  return { type, jobIds: jobIds as string[], ref }
}

const tooMany = (field: string, ref: Ref | undefined): Malformed => ({
  type: 'malformed', ref,
  denial: {
    code: 'too_many_jobs', error: `${field} has more than ${MESSAGE_JOBS_MAX} entries`,
    more: { field, limit: MESSAGE_JOBS_MAX },
  },
})
