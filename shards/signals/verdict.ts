// What the end of an attempt means: an answer to report, or a reason to try again.
// Thread: any. Memory: none.
// Never: counts attempts or decides when the next one is; that is retry.ts and the dispatcher.
// The codes are those of Node, OpenSSL and undici 8; a code unknown here reads as connection_error.

import type { FailureReason } from './response.ts'

/** The upstream has answered, or the job is worth another attempt. */
export type Verdict = 'completed' | 'retry'

/**
 * What a final status means: 200, 302, 404 → completed; 408, 429, 500, 503 → retry.
 * A status outside 200 … 599 is none that HTTP knows; RFC 9110 (15) has it read as a 5xx.
 */
export function classify(status: number): Verdict {
  if (status === 408 || status === 429) return 'retry'
  return status >= 200 && status < 500 ? 'completed' : 'retry'
}

/** Whether an attempt without a response is worth another: all but one that cannot be sent. */
export function mayFailureRetry(reason: FailureReason): boolean {
  return reason !== 'request_refused'
}

/** What an error of the HTTP client or of the system says about itself. */
export interface ClientError {
  readonly name: string
  readonly message: string
  /** As in Node: ECONNREFUSED, ERR_TLS_…, UND_ERR_…, or a certificate's fault by its name. */
  readonly code?: unknown
  /** Of an AggregateError: why each of a host's addresses could not be reached. */
  readonly errors?: readonly ClientError[]
}

const REASON_OF_CODE: ReadonlyMap<unknown, FailureReason> = new Map([
  ['UND_ERR_INVALID_ARG', 'request_refused'],
  ['UND_ERR_NOT_SUPPORTED', 'request_refused'],
  ['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'request_refused'],
  ['UND_ERR_HEADERS_OVERFLOW', 'response_headers_too_large'],
  ['UND_ERR_CONNECT_TIMEOUT', 'timeout'],
  ['ETIMEDOUT', 'timeout'],
  ['ENOTFOUND', 'dns_error'],
  ['EAI_AGAIN', 'dns_error'],
  ['EPROTO', 'tls_error'],
  // The body ended short of its length: HTTP so far, then it broke off.
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'connection_error'],
  // The client's own invariant, tripped by what the upstream sent.
  ['ERR_ASSERTION', 'protocol_error'],
])

/** Socket errors of the client that are about what came, not about the connection. */
const PROTOCOL_MESSAGES: ReadonlySet<string> = new Set(['bad response', 'bad upgrade'])

/** Codes of a machine that has no descriptor, memory or port left for a connection. */
const SHORTAGES: ReadonlySet<unknown> = new Set([
  'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL',
])

/** Whether a connection was not made for want of something here: nothing about its upstream. */
export function isShortage({ code, errors }: ClientError): boolean {
  return SHORTAGES.has(code) || errors?.some((each) => SHORTAGES.has(each.code)) === true
}

/**
 * The reason behind an error: ECONNREFUSED → connection_error, EAI_AGAIN → dns_error,
 * HTTPParserError → protocol_error, but for a chunked body cut short → connection_error. Of a host
 * with several addresses, one that did not answer in time says more than one that refused at once.
 * A HandshakeError has one of the many codes with which a certificate is refused, or that of a
 * connection which broke off before TLS was agreed upon: all are tls_error but for one in time.
 */
export function failureReason(error: ClientError): FailureReason {
  const { code, message, errors } = error
  if (errors?.some((each) => each.code === 'ETIMEDOUT') === true) return 'timeout'
  const known = REASON_OF_CODE.get(code)
  if (error.name === 'HandshakeError') return known === 'timeout' ? known : 'tls_error'
  if (known !== undefined) return known
  if (error.name === 'HTTPParserError') {
    return message.includes('Invalid EOF state') ? 'connection_error' : 'protocol_error'
  }
  if (typeof code !== 'string') return 'connection_error'
  if (code === 'UND_ERR_SOCKET') {
    return PROTOCOL_MESSAGES.has(message) ? 'protocol_error' : 'connection_error'
  }
  if (code.startsWith('EAI_')) return 'dns_error'
  if (code.startsWith('ERR_TLS_') || code.startsWith('ERR_SSL_')) return 'tls_error'
  return 'connection_error'
}
