// Every error that an API call can be answered with, in one table, and the one class that is
// thrown. Codes are part of the API: they are added, never renamed. docs/API.md has the table.

/** A code's HTTP status and what it means, for people. */
export interface ErrorMeaning {
  readonly status: number
  readonly meaning: string
}

/** Code → meaning. Field errors carry the field's name in `field`. */
export const ERRORS = {
  invalid_json: { status: 400, meaning: 'The body is not JSON, or not UTF-8.' },
  invalid_msgpack: { status: 400, meaning: 'The body is not one plain MessagePack value.' },
  not_an_object: { status: 400, meaning: 'The body is not an object of fields.' },
  missing_field: { status: 400, meaning: 'A required field is absent.' },
  wrong_type: { status: 400, meaning: 'A field has another type than expected.' },
  empty_field: { status: 400, meaning: 'A field is empty.' },
  too_long: { status: 400, meaning: 'A field has more bytes than its limit.' },
  not_unicode: { status: 400, meaning: 'A text holds half of a surrogate pair.' },
  invalid_url: { status: 400, meaning: 'A URL is not absolute, not http or https, or malformed.' },
  invalid_method: { status: 400, meaning: 'The method is none of those that can be sent.' },
  invalid_header: { status: 400, meaning: 'A header may not be sent, or is malformed.' },
  too_many_headers: { status: 400, meaning: 'The headers are too many.' },
  invalid_base64: { status: 400, meaning: 'body_base64 is not base64.' },
  conflicting_fields: { status: 400, meaning: 'Two fields say different things.' },
  out_of_range: { status: 400, meaning: 'A number is outside its range.' },
  invalid_delivery: { status: 400, meaning: 'delivery is none of webhook, poll and stream.' },
  invalid_framing: { status: 400, meaning: 'It cannot be said where the request ends.' },
  invalid_ref: { status: 400, meaning: 'A ref is neither a whole number nor a short text.' },
  invalid_message: { status: 400, meaning: 'A message of a socket is none that is known.' },
  too_many_jobs: { status: 400, meaning: 'A message or a batch has more jobs than its limit.' },
  unsupported_protocol: { status: 400, meaning: 'The socket does not offer sluice.v1.' },
  key_required: { status: 401, meaning: 'A key is required, and none was sent.' },
  invalid_key: { status: 401, meaning: 'The key or token is unknown, revoked or expired.' },
  locked: { status: 401, meaning: 'The server has no keys yet, and answers only its state.' },
  insufficient_scope: { status: 403, meaning: 'The key may not do this.' },
  user_not_allowed: { status: 403, meaning: 'The key may not submit jobs for this user.' },
  forbidden_origin: { status: 403, meaning: 'A page of another origin may not do this.' },
  upstream_not_listed: { status: 403, meaning: 'Jobs may not name this host; see upstreams_only.' },
  not_found: { status: 404, meaning: 'There is no such path.' },
  job_not_found: { status: 404, meaning: 'There is no such job, or it has been forgotten.' },
  method_not_allowed: { status: 405, meaning: 'The path takes other methods; see Allow.' },
  not_cancellable: { status: 409, meaning: 'The job has been sent, or is finished.' },
  body_too_large: { status: 413, meaning: 'The body is larger than the limit.' },
  unsupported_media_type: { status: 415, meaning: 'The Content-Type is not one that is read.' },
  foreign_host: {
    status: 421, meaning: 'Without keys, only requests for this machine itself are answered.',
  },
  idempotent_key_reused: {
    status: 422, meaning: 'The key is known, with another method, URL or body.',
  },
  upgrade_required: { status: 426, meaning: 'The path takes WebSocket upgrades only.' },
  window_full: { status: 429, meaning: 'The socket has too many jobs without an answer.' },
  too_many_watched: { status: 429, meaning: 'Too many jobs are watched.' },
  limit_reached: { status: 429, meaning: 'A limit is full; limit_reason says which.' },
  request_crashed: { status: 500, meaning: 'The request has stopped its shard more than once.' },
  draining: { status: 503, meaning: 'The server is stopping and takes no new jobs.' },
  shard_down: { status: 503, meaning: 'The shard of this user or job is not running.' },
  journal_stalled: { status: 503, meaning: 'The journal cannot be written for now; see the log.' },
  journal_lost: { status: 503, meaning: 'The files of the journal are gone; see the log.' },
  overloaded: { status: 503, meaning: 'Too much is under way at once.' },
  answer_unknown: { status: 504, meaning: 'It may be done or not: no answer came. Ask again.' },
} as const satisfies Record<string, ErrorMeaning>

export type ErrorCode = keyof typeof ERRORS

/** A mistake in a request: becomes {error, code, field}. Never quotes a value, only names. */
export interface Refusal {
  readonly ok: false
  readonly code: ErrorCode
  /** The field's name, `headers.<name>`, or '' for the whole body. */
  readonly field: string
  /** A sentence for people. */
  readonly error: string
}

/** A refusal of one field. */
export function refuse(code: ErrorCode, field: string, error: string): Refusal {
  return { ok: false, code, field, error }
}

/** Why something was not done, as an answer reports it: {error, code, …more}. */
export interface Denial {
  readonly code: ErrorCode
  readonly error: string
  /** Further fields of the answer. */
  readonly more?: Readonly<Record<string, unknown>>
  /** When to try again, where that is known. */
  readonly retryAfterSeconds?: number
  /** The caller's own rate, where that is the reason. */
  readonly rateLimit?: RateLimit
}

/** A rate in one second: what the RateLimit fields say. */
export interface RateLimit {
  readonly quota: number
  /** What may come now. */
  readonly left: number
}

/** Seconds, for a client whose server is stopping or has lost a shard. */
const RETRY_AFTER_UNAVAILABLE_S = 5
/** Seconds, for a client that was refused because of momentary load. */
const RETRY_AFTER_BUSY_S = 1

/** The request was valid, but cannot be served now. */
export function unavailable(code: ErrorCode): Denial {
  const error = ERRORS[code].meaning
  if (ERRORS[code].status < 503) return { code, error }
  const retryAfterSeconds = code === 'overloaded' ? RETRY_AFTER_BUSY_S : RETRY_AFTER_UNAVAILABLE_S
  return { code, error, retryAfterSeconds }
}

/** A limit is reached. @param retryAfterSeconds left out where room comes when others leave. */
export const limitReached = (
  reason: string, limit: number, current: number, retryAfterSeconds = RETRY_AFTER_UNAVAILABLE_S,
): Denial => ({
  code: 'limit_reached', error: `the limit of ${reason} is reached`,
  more: { limit_reason: reason, limit, current }, retryAfterSeconds,
})

export const TOO_MANY_WATCHED: Denial =
  { code: 'too_many_watched', error: 'too many jobs are watched already' }

/** A refusal as a denial. */
export const denialOf = ({ code, error, field }: Refusal): Denial =>
  ({ code, error, more: { field } })

/** The JSON value of a denial inside a larger answer, where no Retry-After header can be sent. */
export const denialValue = ({ code, error, more, retryAfterSeconds }: Denial): object => ({
  error, code, ...more,
  ...(retryAfterSeconds === undefined ? {} : { retry_after_s: retryAfterSeconds }),
})

/** The reasons for which the process itself cannot continue. */
export type FailureCode =
  'cannot_listen' | 'native_missing' | 'control_taken' | 'control_failed' | 'data_refused' |
  'memory_refused' | 'take_over_refused' | 'log_failed' | 'keys_refused'

/** Thrown when the process cannot do what it was started for; the message is for operators. */
export class OperatingError extends Error {
  override name = 'OperatingError'
  readonly code: FailureCode

  /** @param cause what was caught, if anything. */
  constructor(code: FailureCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** Throws an OperatingError. */
export function fail(code: FailureCode, message: string, cause?: unknown): never {
  throw new OperatingError(code, message, cause)
}
