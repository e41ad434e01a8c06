// The headers that a job is sent with: which are allowed, in what form, and how many. They are sent
// unchanged, except for those that only Sluice may set, which are dropped; so whatever could break
// the request that they are in is refused here.

import { JOB_HEADERS_BYTES_MAX, JOB_HEADERS_COUNT_MAX } from '../../shards/memory/limits.ts'
import { containsKey } from '../access/api-key.ts'
import { type Refusal, refuse } from '../base/errors.ts'

/** Headers that can be sent. */
export interface JobHeaders {
  readonly ok: true
  /**
   * Name, value, name, value …, as given and in that order, without Content-Length and without
   * those with a prefix of Sluice's own.
   */
  readonly list: readonly string[]
  /** Identifies the account of a user: Authorization, else X-Api-Key, else Api-Key. */
  readonly apiKey: string | null
  /** The given Content-Length, or -1; the transport sends its own. */
  readonly contentLength: number
}

export const NO_HEADERS: JobHeaders = { ok: true, list: [], apiKey: null, contentLength: -1 }

/** Hop-by-hop headers and the like, which the transport handles. */
const REFUSED_NAMES = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer',
  'transfer-encoding', 'upgrade', 'proxy-connection', 'expect',
])

/** Prefixes of the headers that Sluice sends to upstreams; a caller's could be taken for them. */
const OWN_PREFIXES = ['x-sluice-', 'x-aqueduct-', 'x-ezthrottle-', 'x-aquifer-']

/** API key headers, the first of which wins. */
const API_KEY_NAMES = ['authorization', 'x-api-key', 'api-key']

/** RFC 9110, 5.1. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** RFC 9110, 5.5, with obs-text as Latin-1: what Node's own clients can send. */
const VALUE_ASCII = /^[\t\x20-\x7e]*$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const DIGITS = /^\d{1,15}$/

/** A refusal quotes a name only up to this length, and only if it is a valid name. */
const NAME_QUOTED_LENGTH_MAX = 64

/** Checks the `headers` field; absent and null are no headers. */
export function readJobHeaders(value: unknown): JobHeaders | Refusal {
  if (value === undefined || value === null) return NO_HEADERS
  if (!isPlainObject(value)) {
    return refuse('wrong_type', 'headers', 'headers is not an object of strings')
  }
  const list: string[] = []
  let bytes = 0
  let contentLength = -1
  let hosts = 0
  for (const name of Object.keys(value)) {
    const text = value[name]
    const lower = name.toLowerCase()
    if (typeof text !== 'string') {
      return refuse('wrong_type', fieldOf(name), 'a header is not a string')
    }
    const isAscii = VALUE_ASCII.test(text)
    const wrong = checkHeader(name, lower, text, isAscii)
    if (wrong !== undefined) return wrong
    bytes += name.length + (isAscii ? text.length : Buffer.byteLength(text))
    if (bytes > JOB_HEADERS_BYTES_MAX) {
      return refuse('too_long', 'headers',
        `headers have more than ${JOB_HEADERS_BYTES_MAX} bytes together`)
    }
    if (lower === 'host' && ++hosts > 1) {
      return refuse('invalid_header', fieldOf(name), 'Host is given twice')
    }
    if (lower === 'content-length') {
      const length = DIGITS.test(text) ? Number(text) : -2
      if (length < 0 || (contentLength >= 0 && contentLength !== length)) return wrongLength(name)
      contentLength = length
    } else if (!isOwn(lower)) {
      list.push(name, text)
    }
  }
  if (list.length > 2 * JOB_HEADERS_COUNT_MAX) {
    return refuse('too_many_headers', 'headers',
      `headers are more than ${JOB_HEADERS_COUNT_MAX}`)
  }
  return { ok: true, list, apiKey: apiKeyOf(list), contentLength }
}

/** The refusal of a Content-Length that is not the body's. */
export const wrongLength = (name: string): Refusal =>
  refuse('invalid_header', fieldOf(name), 'Content-Length is not the length of the body')

/** Whether `value` is an object with fields: no array, no bytes. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) &&
    !ArrayBuffer.isView(value)
}

function checkHeader(
  name: string, lower: string, value: string, isAscii: boolean,
): Refusal | undefined {
  if (!TOKEN.test(name)) {
    return refuse('invalid_header', fieldOf(name), 'a header name is not a token of RFC 9110')
  }
  if (REFUSED_NAMES.has(lower)) {
    return refuse('invalid_header', fieldOf(name),
      'the header belongs to the connection and cannot be sent on')
  }
  if (!isAscii && !VALUE.test(value)) {
    return value.isWellFormed()
      ? refuse('invalid_header', fieldOf(name),
        'a header value has a line break, a control character or one beyond Latin-1')
      : refuse('not_unicode', fieldOf(name), 'a header value is not valid Unicode')
  }
  if (containsKey(value)) {
    return refuse('invalid_header', fieldOf(name),
      'the header has an API key of Sluice in it, which is for Sluice alone')
  }
  return undefined
}

const isOwn = (lower: string): boolean =>
  lower.startsWith('x-') && OWN_PREFIXES.some((prefix) => lower.startsWith(prefix))

function fieldOf(name: string): string {
  return TOKEN.test(name) && name.length <= NAME_QUOTED_LENGTH_MAX ? `headers.${name}` : 'headers'
}

function apiKeyOf(list: readonly string[]): string | null {
  let best = API_KEY_NAMES.length
  let apiKey: string | null = null
  for (let at = 0; at < list.length; at += 2) {
    const name = list[at] as string
    // The names of API key headers have 7 to 13 characters; most headers are skipped here.
    if (name.length > 13 || name.length < 7) continue
    const rank = API_KEY_NAMES.indexOf(name.toLowerCase())
    if (rank < 0 || rank >= best) continue
    best = rank
    apiKey = list[at + 1] as string
  }
  return apiKey
}
