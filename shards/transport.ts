// How a shard sends a request and hears of its response: the line between logic and sockets.
// Thread: shard; every call and every event happens on it. Memory: none of its own.
// Never: decides when to send, how long to wait, or whether to try again.
// The real one is undici-transport.ts; a simulation puts a made-up network behind the same words.

/** Names in lower case; a name that came more than once has its values in order. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>

/** One request, as it goes out. Nothing in it may change until its token has ended. */
export interface OutgoingRequest {
  /** Scheme, host and port as `URL.origin` spells them: `https://api.example.com`. */
  readonly origin: string
  /** Path and query, beginning with a slash. */
  readonly path: string
  /** In capitals. */
  readonly method: string
  /** Name, value, name, value, …; sent in this order, with the names in their case. */
  readonly headers: string[]
  /** Memory that is not shared with another thread: it is read after `send` has returned. */
  readonly body: Uint8Array | null
}

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
  /** The system gave up connecting, or the deadline that the attempt's owner keeps has passed. */
  | 'timeout'

/**
 * What becomes of a token: perhaps `waiting`, at most one `written`, at most one `head`, then
 * exactly one of `end` and `failed`, unless it is aborted. Only the first two may be called before
 * `send` has returned, and a listener may send, abort and forget in the others alone.
 */
export interface TransportEvents {
  /** No connection is free, or the one that was is gone: it takes as long as it takes. */
  waiting(token: number): void
  /** The request is on the wire, since this very moment. */
  written(token: number): void
  /** The final status and headers, as soon as they are here; 1xx responses are swallowed. */
  head(token: number, status: number, headers: ResponseHeaders): void
  /**
   * The response is over. `truncated`: it went on beyond the limit, and `body` is its beginning.
   * The body is the listener's to keep; it may be a part of a larger buffer.
   */
  end(token: number, body: Uint8Array, truncated: boolean): void
  /** No whole response; also after `head`. `detail` is for people, at most some hundred bytes. */
  failed(token: number, reason: FailureReason, detail: string): void
}

/**
 * Sends requests. Tokens are the caller's numbers, small ones from 0 on; one may be used again once
 * it has ended.
 */
export interface Transport {
  /** Names the listener; once, before anything is sent. */
  start(events: TransportEvents): void
  /** Sends within a turn of the event loop; while it is `waiting`, when a connection is free. */
  send(token: number, request: OutgoingRequest): void
  /** No further event for the token; its connection is given up. An unknown token is ignored. */
  abort(token: number): void
  /** Bytes set aside for response bodies that are still arriving. */
  readonly bufferedBytes: number
  /** Closes the origin's connections that are idle; those at work are not disturbed. */
  forget(origin: string): void
  /** Gives up all that is in flight, without events; resolves when the sockets are closed. */
  close(): Promise<void>
}
