// The interface between a shard's logic and its sockets: sending requests, receiving responses.
// Thread: shard; every call and every event happens on it. Memory: none of its own.
// Never: decides when to send, how long to wait for a response, or whether to retry.
// undici-transport.ts implements it with sockets; the simulator with a simulated network.
// A request is sent on an open, free connection or not at all: a caller that finds none asks for
// one, keeps the request, and checks again when notified. So no decided send waits here, to leave
// in a burst when connections open.

import type { FailureReason, ResponseHeaders } from '../signals/response.ts'

/** One outgoing request. Immutable until its attempt has ended. */
export interface OutgoingRequest {
  /** Scheme, host and port as `URL.origin` spells them: `https://api.example.com`. */
  readonly origin: string
  /** Path and query, beginning with a slash. */
  readonly path: string
  /** In upper case. */
  readonly method: string
  /** Name, value, name, value, …; sent in this order, with the names' case unchanged. */
  readonly headers: string[]
  /** Not in shared memory: it is read after `send` has returned. */
  readonly body: Uint8Array | null
}

/**
 * The events of destinations and attempts. For an attempt: at most one `written`, at most one
 * `head`, then exactly one of `end`, `failed` and `returned`, unless it is aborted. Only `free` and
 * `written` may be called before connect() or send() has returned; a listener may call the
 * transport only in the others.
 */
export interface TransportEvents {
  /** A connection to the destination is free, or one may be requested again. */
  free(to: number): void
  /**
   * A requested connection to the destination could not be opened. `detail` is for people; for
   * `address_refused` it is the name of the rule.
   */
  unreachable(to: number, reason: FailureReason, detail: string): void
  /** The request is written to its socket now. */
  written(attemptId: number): void
  /** The connection was lost before any part of the request was written: it counts as not sent. */
  returned(attemptId: number): void
  /** The final status and headers, as soon as they are received; 1xx responses are dropped. */
  head(attemptId: number, status: number, headers: ResponseHeaders): void
  /**
   * The response has ended. `truncated`: it exceeded the limit, and `body` is its beginning. The
   * listener may keep the body, which may be a view of a larger buffer.
   */
  end(attemptId: number, body: Uint8Array, truncated: boolean): void
  /** No complete response; also after `head`. `detail` is for people, a few hundred bytes. */
  failed(attemptId: number, reason: FailureReason, detail: string): void
}

/** Whether a request may be sent to a destination now. */
export const LINE_FREE = 0
/** No: no connection is free. */
export const LINE_NO_CONNECTION = 1
/** No: its responses already hold its share of the response memory. */
export const LINE_NO_MEMORY = 2

export type Line = typeof LINE_FREE | typeof LINE_NO_CONNECTION | typeof LINE_NO_MEMORY

/**
 * Sends requests. The caller numbers attempts from 0; a number may be reused once its attempt has
 * ended. Destinations are numbered likewise; each stands for one origin until it is forgotten.
 */
export interface Transport {
  /** Sets the listener; once, before any other call. */
  start(events: TransportEvents): void
  /** Whether a request to the destination could be sent now. If not, `free` may follow. */
  lineTo(to: number): Line
  /**
   * Opens connections to the destination, until so many are free or opening, or a limit is reached.
   * `free` follows, or `unreachable`: after `timeoutMs` at the latest, give or take a second; if
   * other connections to it are in use, when one of these is free.
   * @param account the route of the account that wants them: look-ups have a share per account.
   */
  connect(to: number, origin: string, count: number, timeoutMs: number, account: number): void
  /** Sends on a free connection, within one event-loop turn; lineTo() must be LINE_FREE. */
  send(attemptId: number, to: number, request: OutgoingRequest): void
  /**
   * No further event for the attempt; its connection is closed. An unknown attempt is ignored.
   */
  abort(attemptId: number): void
  /** Closes the destination's idle connections; those in use finish their requests. */
  forget(to: number): void
  /** The same for all destinations: nothing more is sent. */
  forgetAll(): void
  /** Drops everything in flight, without events; resolves when the sockets are closed. */
  close(): Promise<void>
}
