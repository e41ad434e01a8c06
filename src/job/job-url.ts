// URLs that callers send: checked, normalised and cached, since the same few come again. Not zod,
// here and in the neighbouring files, since this is the hot path: once per job.

import { ORIGIN_BYTES_MAX, URL_BYTES_MAX } from '../../shards/memory/limits.ts'
import { type Refusal, refuse } from '../base/errors.ts'
import { hostIdentity, plainHost } from '../base/host-name.ts'
import { URL_CACHED_LENGTH_MAX, URLS_CACHED_MAX } from '../base/limits.ts'

/** A URL that can be sent to. */
export interface JobUrl {
  readonly ok: true
  /** Normalised, ASCII, without a fragment. */
  readonly href: string
  /**
   * Scheme, host and port of the upstream: as in `href`, but without a trailing dot of the host.
   * The dot stays in `href`, since it keeps the resolver from trying search domains.
   */
  readonly origin: string
}

/** Absolute, with a host: WHATWG's parser alone would also take `http:host` and `http:///host`. */
const ABSOLUTE = /^https?:\/\/[^/\\?#]/i
/** WHATWG's parser drops these silently; the caller gets an error instead. */
// oxlint-disable-next-line no-control-regex
const BLANK_OR_CONTROL = /[\x00-\x20\x7f]/

/** Parses URLs and keeps the last URLS_CACHED_MAX of them, oldest out first. */
export class JobUrls {
  readonly #parsed = new Map<string, JobUrl>()

  /** The URL, or what is wrong with it. @param field the name that a refusal carries. */
  parse(text: string, field: string): JobUrl | Refusal {
    const known = this.#parsed.get(text)
    if (known !== undefined) return known
    const url = parseUrl(text, field)
    if (url.ok && text.length <= URL_CACHED_LENGTH_MAX) this.#remember(text, url)
    return url
  }

  #remember(text: string, url: JobUrl): void {
    if (this.#parsed.size >= URLS_CACHED_MAX) {
      for (const oldest of this.#parsed.keys()) {
        this.#parsed.delete(oldest)
        break
      }
    }
    this.#parsed.set(text, url)
  }
}

function parseUrl(text: string, field: string): JobUrl | Refusal {
  if (text.length > URL_BYTES_MAX || Buffer.byteLength(text) > URL_BYTES_MAX) {
    return refuse('too_long', field, `${field} has more than ${URL_BYTES_MAX} bytes`)
  }
  if (!text.isWellFormed()) return refuse('not_unicode', field, `${field} is not valid Unicode`)
  if (BLANK_OR_CONTROL.test(text)) {
    return refuse('invalid_url', field, `${field} has a space or a control character in it`)
  }
  const url = ABSOLUTE.test(text) ? URL.parse(text) : null
  if (url === null) {
    return refuse('invalid_url', field, `${field} is not an absolute http or https URL`)
  }
  if (url.username !== '' || url.password !== '') {
    return refuse('invalid_url', field,
      `${field} has credentials in it; send them in the Authorization header`)
  }
  if (url.origin.length > ORIGIN_BYTES_MAX) {
    return refuse('invalid_url', field, `${field} names a host that is longer than any can be`)
  }
  url.hash = ''
  const host = plainHost(url.hostname)
  if (host !== url.hostname) url.hostname = host
  const href = url.href
  // Percent-encoding makes non-ASCII text longer, and the encoded form is what is stored.
  if (href.length > URL_BYTES_MAX) {
    return refuse('too_long', field, `${field} has more than ${URL_BYTES_MAX} bytes when encoded`)
  }
  const identity = hostIdentity(host)
  if (identity !== host) url.hostname = identity
  return { ok: true, href, origin: url.origin }
}
