// Validates a request body: the result is a job, or a refusal that says what is wrong with it.
// Written by hand because it is the hot path: once per job.

import {
  IDEMPOTENT_KEY_BYTES_MAX, RETRIES_UNLIMITED, USER_ID_BYTES_MAX,
} from '../../shards/memory/limits.ts'
import { type Refusal, refuse } from '../base/errors.ts'
import { RETRIES_DEFAULT, RETRIES_MAX } from '../base/limits.ts'
import { isPlainObject, type JobHeaders, readJobHeaders, wrongLength } from './job-headers.ts'
import type { JobUrl, JobUrls } from './job-url.ts'

/** A job as its caller submitted it, every field checked. */
export interface ValidJob {
  readonly ok: true
  readonly userId: string
  readonly idempotentKey: string
  readonly url: JobUrl
  /** Upper case. */
  readonly method: string
  readonly headers: JobHeaders
  readonly body: Uint8Array | null
  /** Where to report the result; null when the caller polls or streams. */
  readonly webhook: JobUrl | null
  /** RETRIES_UNLIMITED, or 0 to RETRIES_MAX. */
  readonly maxRetries: number
  /** Unix ms, or 0 for none. */
  readonly executeBeforeMs: number
}

const METHODS = new Map(
  ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((name) => [name, name]))
const METHOD_LENGTH_MAX = 7

/**
 * The characters of a key in the header: visible ASCII, with spaces inside (RFC 9110, 5.5, without
 * obs-text). uWebSockets.js strips bytes beyond ASCII from both ends of a header's value, so only
 * those inside are detected here.
 */
const HEADER_KEY = /^[\x20-\x7e]+$/

/** The least number of ten digits: Unix times in seconds from 2001 to 2286 have ten. */
const TEN_DIGITS = 1e9

/** The standard alphabet only; padding may be left out. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/**
 * Checks the fields of a decoded body. Never throws, whatever `root` is; fields that are null
 * count as absent, and unknown ones are ignored.
 * @param keyHeader the request's Idempotency-Key header, '' when it has none.
 * @param onlyUser the only user that the caller may submit jobs for, which need not be named then.
 */
export function validateJob(
  root: unknown, keyHeader: string, urls: JobUrls, onlyUser: string | null = null,
): ValidJob | Refusal {
  if (!isPlainObject(root)) return refuse('not_an_object', '', 'the body is not an object')
  const userId = readUser(root['user_id'], onlyUser)
  if (typeof userId !== 'string') return userId
  const idempotentKey = readKey(root['idempotent_key'], keyHeader)
  if (typeof idempotentKey !== 'string') return idempotentKey
  const url = readUrl(root['url'], 'url', urls)
  if (!url.ok) return url
  const method = readMethod(root['method'])
  if (typeof method !== 'string') return method
  const headers = readJobHeaders(root['headers'])
  if (!headers.ok) return headers
  const body = readBody(root['body'], root['body_base64'])
  if (isRefusal(body)) return body
  if (headers.contentLength >= 0 && headers.contentLength !== (body?.length ?? 0)) {
    return wrongLength('Content-Length')
  }
  const webhook = readWebhook(root['webhook_url'], root['delivery'], urls)
  if (isRefusal(webhook)) return webhook
  const maxRetries = readMaxRetries(root['max_retries'])
  if (typeof maxRetries !== 'number') return maxRetries
  const executeBeforeMs = readExecuteBefore(root['execute_before'])
  if (typeof executeBeforeMs !== 'number') return executeBeforeMs
  return {
    ok: true, userId, idempotentKey, url, method, headers, body, webhook, maxRetries,
    executeBeforeMs,
  }
}

const isAbsent = (value: unknown): value is null | undefined =>
  value === undefined || value === null

const missing = (field: string): Refusal => refuse('missing_field', field, `${field} is required`)

const notText = (field: string): Refusal => refuse('wrong_type', field, `${field} is not a string`)

function isRefusal(value: Uint8Array | JobUrl | Refusal | null): value is Refusal {
  return value !== null && 'ok' in value && !value.ok
}

function readText(value: unknown, field: string, bytesMax: number): string | Refusal {
  if (isAbsent(value)) return missing(field)
  if (typeof value !== 'string') return notText(field)
  if (value === '') return refuse('empty_field', field, `${field} is empty`)
  // A UTF-16 code unit takes three bytes of UTF-8 at most, so short texts need no counting.
  if (value.length * 3 > bytesMax &&
    (value.length > bytesMax || Buffer.byteLength(value) > bytesMax)) {
    return refuse('too_long', field, `${field} has more than ${bytesMax} bytes`)
  }
  if (!value.isWellFormed()) return refuse('not_unicode', field, `${field} is not valid Unicode`)
  return value
}

function readUser(value: unknown, onlyUser: string | null): string | Refusal {
  if (onlyUser !== null && isAbsent(value)) return onlyUser
  const user = readText(value, 'user_id', USER_ID_BYTES_MAX)
  if (onlyUser === null || typeof user !== 'string' || user === onlyUser) return user
  return refuse('user_not_allowed', 'user_id', 'the key submits jobs of the user ' +
    `${JSON.stringify(onlyUser)} only; one that was added with --users many may name users`)
}

function readKey(value: unknown, header: string): string | Refusal {
  if (header === '') return readText(value, 'idempotent_key', IDEMPOTENT_KEY_BYTES_MAX)
  if (!HEADER_KEY.test(header)) {
    return refuse('invalid_header', 'idempotent_key', 'the Idempotency-Key header is not visible ' +
      'ASCII; send such a key as idempotent_key in the body')
  }
  if (!isAbsent(value) && value !== header) {
    return refuse('conflicting_fields', 'idempotent_key',
      'idempotent_key and the Idempotency-Key header differ')
  }
  return readText(header, 'idempotent_key', IDEMPOTENT_KEY_BYTES_MAX)
}

function readUrl(value: unknown, field: string, urls: JobUrls): JobUrl | Refusal {
  if (isAbsent(value)) return missing(field)
  if (typeof value !== 'string') return notText(field)
  if (value === '') return refuse('empty_field', field, `${field} is empty`)
  return urls.parse(value, field)
}

function readMethod(value: unknown): string | Refusal {
  if (isAbsent(value)) return missing('method')
  if (typeof value !== 'string') return notText('method')
  const known = METHODS.get(value)
  if (known !== undefined) return known
  const upper = value.length <= METHOD_LENGTH_MAX ? METHODS.get(value.toUpperCase()) : undefined
  return upper ??
    refuse('invalid_method', 'method', `method is none of ${[...METHODS.keys()].join(', ')}`)
}

function readBody(text: unknown, base64: unknown): Uint8Array | null | Refusal {
  if (!isAbsent(base64)) {
    if (!isAbsent(text)) {
      return refuse('conflicting_fields', 'body_base64', 'body and body_base64 are both given')
    }
    return readBase64(base64)
  }
  if (isAbsent(text)) return null
  if (text instanceof Uint8Array) return text
  if (typeof text !== 'string') return notText('body')
  if (!text.isWellFormed()) {
    return refuse('not_unicode', 'body', 'body is not valid Unicode; use body_base64 for bytes')
  }
  return Buffer.from(text)
}

function readBase64(value: unknown): Uint8Array | Refusal {
  if (typeof value !== 'string') return notText('body_base64')
  if (!BASE64.test(value)) return notBase64()
  const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0
  if (padding > 0 ? value.length % 4 !== 0 : value.length % 4 === 1) return notBase64()
  return Buffer.from(value, 'base64')
}

const notBase64 = (): Refusal =>
  refuse('invalid_base64', 'body_base64', 'body_base64 is not base64 of the standard alphabet')

function readWebhook(value: unknown, delivery: unknown, urls: JobUrls): JobUrl | null | Refusal {
  if (!isAbsent(delivery) && delivery !== 'webhook' && delivery !== 'poll' &&
    delivery !== 'stream') {
    return refuse('invalid_delivery', 'delivery', 'delivery is none of webhook, poll, stream')
  }
  const webhook = isAbsent(delivery) || delivery === 'webhook'
  if (webhook && isAbsent(value)) {
    return refuse('missing_field', 'webhook_url',
      'webhook_url is required unless delivery is poll or stream')
  }
  // A webhook_url with another delivery is delivered as well.
  return isAbsent(value) ? null : readUrl(value, 'webhook_url', urls)
}

function readMaxRetries(value: unknown): number | Refusal {
  if (isAbsent(value)) return RETRIES_DEFAULT
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    return refuse('wrong_type', 'max_retries', 'max_retries is not an integer')
  }
  if (value >= RETRIES_UNLIMITED && value <= RETRIES_MAX) return value
  return refuse('out_of_range', 'max_retries',
    `max_retries is not from ${RETRIES_UNLIMITED} to ${RETRIES_MAX}`)
}

function readExecuteBefore(value: unknown): number | Refusal {
  if (isAbsent(value)) return 0
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    return refuse('wrong_type', 'execute_before', 'execute_before is not a number')
  }
  if (value >= TEN_DIGITS && value < TEN_DIGITS * 10) {
    return refuse('out_of_range', 'execute_before',
      'execute_before looks like seconds; it is a Unix time in ms')
  }
  if (value >= 1 && Number.isSafeInteger(value)) return value
  return refuse('out_of_range', 'execute_before',
    'execute_before is not a Unix time in ms, which is a whole number')
}
