// The types of a request's end: the headers of a response, or the reason why there is none.
// Thread: any. Memory: none.
// Never: decides what follows from it; verdict.ts does.

/** Names in lower case; a name that occurs more than once has its values in order. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>

/** Why an attempt has no complete response. */
export type FailureReason =
  /** No connection, or it was lost: refused, reset, closed before the response was complete. */
  | 'connection_error'
  /** The host's name has no address, or its name server does not answer. */
  | 'dns_error'
  /** No trusted TLS session: an unknown authority, a wrong name, a failed handshake. */
  | 'tls_error'
  /** The response is not HTTP/1.1. */
  | 'protocol_error'
  /** The head of the response exceeded RESPONSE_HEADERS_BYTES_MAX. */
  | 'response_headers_too_large'
  /** The request cannot be sent as it is; another attempt would fail the same way. */
  | 'request_refused'
  /** No address of the host may be dialled; another attempt would fail the same way. */
  | 'address_refused'
  /** No connection or no response within the attempt timeout. */
  | 'timeout'

/** Why no connection could be opened. */
export interface Unreachable {
  readonly reason: FailureReason
  /** For people; for `address_refused` the name of the rule. */
  readonly detail: string
}
