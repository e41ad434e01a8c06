// What comes back for a request: the headers of a response, or the reason why there is none.
// Thread: any. Memory: none.
// Never: says what follows from it; verdict.ts does.

/** Names in lower case; a name that came more than once has its values in order. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>

/** Why an attempt brought no whole response. */
export type FailureReason =
  /** No connection, or it broke off: refused, reset, closed before the response was whole. */
  | 'connection_error'
  /** The host's name has no address, or its name server does not answer. */
  | 'dns_error'
  /** No trusted TLS session: an unknown authority, a wrong name, a failed handshake. */
  | 'tls_error'
  /** What came back is not HTTP/1.1. */
  | 'protocol_error'
  /** The head of the response went beyond RESPONSE_HEADERS_BYTES_MAX. */
  | 'response_headers_too_large'
  /** The request cannot be put on the wire as it is; another attempt would end the same way. */
  | 'request_refused'
  /** No connection or no answer within the time that the upstream has for it. */
  | 'timeout'
