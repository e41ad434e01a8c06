// The requests of the load generator: bytes made once, with fixed-width fields that are overwritten
// for each job. Pure: no sockets, no time.

import { Prng } from '../../shards/base/prng.ts'
import { KEY_LINE } from './api-key.ts'

/** The shapes of jobs; `mixed` draws from the others. */
export const PROFILES = ['typical', 'small', 'large', 'mixed'] as const
export type Profile = (typeof PROFILES)[number]
export type Shape = Exclude<Profile, 'mixed'>

/** The sizes of the whole JSON of a typical job, and of the body in it. */
export const TYPICAL_JSON_BYTES = 479
export const TYPICAL_BODY_BYTES = 214
export const LARGE_BODY_BYTES = 16 * 1024
const SMALL_BODY_BYTES = 16

export const ACCOUNTS_MAX = 99_999_999
const ACCOUNT_DIGITS = 8
const SEQUENCE_DIGITS = 12
/** Identifies a run of the bench in the keys of all its jobs. */
export const RUN_ID_LENGTH = 8
/** Placeholders in a request until it is sent. */
const ACCOUNT_BLANK = '0'.repeat(ACCOUNT_DIGITS)
const SEQUENCE_BLANK = '0'.repeat(SEQUENCE_DIGITS)
const API_KEY_PREFIX = 'Bearer sk-bench-'

/** The common properties of all jobs of a load. */
export interface PayloadSettings {
  /** RUN_ID_LENGTH characters. */
  readonly runId: string
  /** The targets of the jobs: `http://127.0.0.1:40000`; jobs for each have the same size. */
  readonly upstreams: readonly string[]
  /** The target of webhooks, `http://127.0.0.1:40001`; undefined for jobs that are polled. */
  readonly receiver: string | undefined
  /** The Host header of the requests to Sluice. */
  readonly host: string
}

/** One POST /jobs as bytes, with the offsets of the fields that change from job to job. */
export interface RequestPattern {
  readonly bytes: Buffer
  readonly jsonBytes: number
  /** The offsets of the account's digits: in user_id and in the API key. */
  readonly accountAt: readonly [number, number]
  readonly sequenceAt: number
}

/** An account's API key, as the upstream receives it. */
export const apiKeyOf = (account: number): string =>
  API_KEY_PREFIX + String(account).padStart(ACCOUNT_DIGITS, '0')

/** The account of an API key; -1 for a key that is not from the bench. */
export function accountOf(authorization: string): number {
  if (!authorization.startsWith(API_KEY_PREFIX)) return -1
  const digits = authorization.slice(API_KEY_PREFIX.length)
  return /^\d{8}$/.test(digits) ? Number(digits) : -1
}

/** Builds one pattern. @param upstream an index into settings.upstreams. */
export function requestPattern(
  settings: PayloadSettings, shape: Shape, upstream: number,
): RequestPattern {
  const json = JSON.stringify(jobFields(settings, shape, upstream))
  const jsonBytes = Buffer.byteLength(json)
  const head = `POST /jobs HTTP/1.1\r\nHost: ${settings.host}\r\n` +
    `Content-Type: application/json\r\n${KEY_LINE}` +
    `Content-Length: ${jsonBytes}\r\n\r\n`
  const bytes = Buffer.from(head + json)
  return { bytes, jsonBytes, ...patternPlaces(bytes, settings, 0) }
}

/** The offsets of the fields in one encoded job, which is `offset` bytes into a pattern. */
export function patternPlaces(
  job: Buffer, { runId }: PayloadSettings, offset: number,
): Pick<RequestPattern, 'accountAt' | 'sequenceAt'> {
  const behind = (text: string): number => offset + job.indexOf(text) + text.length
  return {
    accountAt: [behind('user-' + ACCOUNT_BLANK) - ACCOUNT_DIGITS,
      behind(API_KEY_PREFIX + ACCOUNT_BLANK) - ACCOUNT_DIGITS],
    sequenceAt: behind(`${runId}-${SEQUENCE_BLANK}`) - SEQUENCE_DIGITS,
  }
}

/** Fields in a natural order; the URL's path pads the job to its size. */
export function jobFields(settings: PayloadSettings, shape: Shape, upstream: number): object {
  const build = (path: string): object => ({
    user_id: `user-${ACCOUNT_BLANK}`,
    idempotent_key: `${settings.runId}-${SEQUENCE_BLANK}`,
    url: settings.upstreams[upstream] + path,
    method: 'POST',
    headers: { Authorization: API_KEY_PREFIX + ACCOUNT_BLANK },
    body: bodyOf(shape),
    ...(settings.receiver === undefined
      ? { delivery: 'poll' } : { webhook_url: `${settings.receiver}/hook` }),
  })
  const bare = build('/')
  if (shape !== 'typical') return bare
  // Ports have four or five digits, and a polled job has no webhook: the path compensates for the
  // difference.
  const missingBytes = TYPICAL_JSON_BYTES - JSON.stringify(bare).length
  return build(`/${'chat/completions/v1/'.repeat(8).slice(0, missingBytes)}`)
}

function bodyOf(shape: Shape): string {
  if (shape === 'small') return 'x'.repeat(SMALL_BODY_BYTES)
  const bytes = shape === 'typical' ? TYPICAL_BODY_BYTES : LARGE_BODY_BYTES
  const before = '{"model":"gpt-5","messages":[{"role":"user","content":"'
  const after = '"}]}'
  const text = 'Say in one sentence what the customer asks for, and how urgent it is. '
  const length = bytes - before.length - after.length
  return before + text.repeat(Math.ceil(length / text.length)).slice(0, length) + after
}

/** Writes the account and the sequence number into a pattern's bytes, or into a copy of them. */
export function patch(
  bytes: Buffer, pattern: RequestPattern, account: number, sequence: number,
): void {
  writeDigits(bytes, pattern.accountAt[0], ACCOUNT_DIGITS, account)
  writeDigits(bytes, pattern.accountAt[1], ACCOUNT_DIGITS, account)
  writeDigits(bytes, pattern.sequenceAt, SEQUENCE_DIGITS, sequence)
}

const DIGIT_ZERO = 0x30

function writeDigits(bytes: Buffer, at: number, digits: number, value: number): void {
  let rest = value
  for (let place = at + digits - 1; place >= at; place--) {
    const tenth = Math.floor(rest / 10)
    bytes[place] = DIGIT_ZERO + (rest - tenth * 10)
    rest = tenth
  }
}

/** Of a hundred jobs of the mixed profile. */
const MIXED_SMALL = 45
const MIXED_TYPICAL = 45

/** Chooses the shape of each next job: the same sequence in every run. */
export function shapeChooser(profile: Profile): () => Shape {
  if (profile !== 'mixed') return () => profile
  const prng = new Prng(1)
  return () => {
    const drawn = prng.below(100)
    if (drawn < MIXED_SMALL) return 'small'
    return drawn < MIXED_SMALL + MIXED_TYPICAL ? 'typical' : 'large'
  }
}

/** The shapes of a profile. */
export const shapesOf = (profile: Profile): readonly Shape[] =>
  profile === 'mixed' ? ['typical', 'small', 'large'] : [profile]
