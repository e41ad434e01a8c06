// The verdict of an attempt: a result to report, or a reason to retry.
// Thread: any. Memory: none.
// Never: counts attempts or decides when the next one is; retry.ts and the dispatcher do.
// The codes are those of Node, OpenSSL and undici 8; an unknown code counts as connection_error.

import type { FailureReason } from './response.ts'

/** The upstream's response is final, or the job may be retried. */
export type Verdict = 'completed' | 'retry'

/**
 * The verdict of a final status: 200, 302, 404 → completed; 408, 429, 500, 503 → retry.
 * A status outside 200 … 599 is not defined by HTTP; RFC 9110 (15) treats it as a 5xx.
 */
export function classify(status: number): Verdict {
  if (status === 408 || status === 429) return 'retry'
  return status >= 200 && status < 500 ? 'completed' : 'retry'
}

/** Whether an attempt without a response may be retried: not if no later one can be sent either. */
export function mayFailureRetry(reason: FailureReason): boolean {
  return reason !== 'request_refused' && reason !== 'address_refused'
}

/** The used fields of an error of the HTTP client or the system. */
export interface ClientError {
  readonly name: string
  readonly message: string
  /** As in Node: ECONNREFUSED, ERR_TLS_…, UND_ERR_…, or the name of a certificate error. */
  readonly code?: unknown
  /** For an AggregateError: why each of a host's addresses could not be reached. */
  readonly errors?: readonly ClientError[]
}

const REASON_OF_CODE: ReadonlyMap<unknown, FailureReason> = new Map([
  ['UND_ERR_INVALID_ARG', 'request_refused'],
  ['UND_ERR_NOT_SUPPORTED', 'request_refused'],
  ['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'request_refused'],
  ['ADDRESS_REFUSED', 'address_refused'],
  ['UND_ERR_HEADERS_OVERFLOW', 'response_headers_too_large'],
  ['UND_ERR_CONNECT_TIMEOUT', 'timeout'],
  ['ETIMEDOUT', 'timeout'],
  ['ENOTFOUND', 'dns_error'],
  ['EAI_AGAIN', 'dns_error'],
  ['EPROTO', 'tls_error'],
  // The body ended before its content length: valid HTTP, then the connection was lost.
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'connection_error'],
  // An assertion of the client, failed because of what the upstream sent.
  ['ERR_ASSERTION', 'protocol_error'],
])

/** Socket errors of the client that are about the received bytes, not about the connection. */
const PROTOCOL_MESSAGES: ReadonlySet<string> = new Set(['bad response', 'bad upgrade'])

/** Error codes when the machine has no descriptor, memory or port left for a connection. */
const SHORTAGES: ReadonlySet<unknown> = new Set([
  'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL',
])

/** Whether a connection failed for lack of a local resource, which says nothing of its upstream. */
export function isShortage({ code, errors }: ClientError): boolean {
  return SHORTAGES.has(code) || errors?.some((each) => SHORTAGES.has(each.code)) === true
}

/**
 * The failure reason of an error: ECONNREFUSED → connection_error, EAI_AGAIN → dns_error,
 * HTTPParserError → protocol_error, except for a truncated chunked body → connection_error. Of a
 * host with several addresses, a timeout of one takes precedence over a refusal of another.
 * A HandshakeError has one of the many codes of rejected certificates, or that of a connection lost
 * during the handshake: all are tls_error, except a timeout.
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
