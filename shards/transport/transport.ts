// How a shard sends a request and hears of its response: the line between logic and sockets.
// Thread: shard; every call and every event happens on it. Memory: none of its own.
// Never: decides when to send, how long to wait for an answer, or whether to try again.
// The real one is undici-transport.ts; a simulation puts a made-up network behind the same words.
// A request is sent on a connection that is open and free, or not at all: whoever finds none asks
// for one, keeps the request, and looks again when told. So nothing that was decided waits here,
// to leave all at once when connections come.

import type { FailureReason, ResponseHeaders } from '../signals/response.ts'

/** One request, as it goes out. Nothing in it may change until its attempt has ended. */
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

/**
 * What becomes of a destination and of an attempt. Of an attempt: at most one `written`, at most
 * one `head`, then exactly one of `end`, `failed` and `returned`, unless it is aborted. Only `free`
 * and `written` may be called before connect() or send() has returned; a listener may call the
 * transport in the others alone.
 */
export interface TransportEvents {
  /** A connection to the destination is free, or one may be asked for again. */
  free(to: number): void
  /** A connection to the destination that was asked for could not be made. */
  unreachable(to: number, reason: FailureReason, detail: string): void
  /** The request is on the wire, since this very moment. */
  written(attemptId: number): void
  /** The connection was lost before anything of the request was on it: as if it were not sent. */
  returned(attemptId: number): void
  /** The final status and headers, as soon as they are here; 1xx responses are swallowed. */
  head(attemptId: number, status: number, headers: ResponseHeaders): void
  /**
   * The response is over. `truncated`: it went on beyond the limit, and `body` is its beginning.
   * The body is the listener's to keep; it may be a part of a larger buffer.
   */
  end(attemptId: number, body: Uint8Array, truncated: boolean): void
  /** No whole response; also after `head`. `detail` is for people, at most some hundred bytes. */
  failed(attemptId: number, reason: FailureReason, detail: string): void
}

/** Whether a request may be sent to a destination now. */
export const LINE_FREE = 0
/** No: no connection is free. */
export const LINE_NO_CONNECTION = 1
/** No: what arrives from it already takes its share of the memory for that. */
export const LINE_NO_MEMORY = 2

export type Line = typeof LINE_FREE | typeof LINE_NO_CONNECTION | typeof LINE_NO_MEMORY

/**
 * Sends requests. Attempts are the caller's numbers, small ones from 0 on; one may be used again
 * once it has ended. So are destinations, each of which stands for one origin until it is
 * forgotten.
 */
export interface Transport {
  /** Names the listener; once, before anything is asked for. */
  start(events: TransportEvents): void
  /** What a request to the destination would find. Where it is not free, `free` may be awaited. */
  lineTo(to: number): Line
  /**
   * Asks for connections to the destination, until so many are free or being made, or a limit is
   * reached. `free` follows, or `unreachable`: after `timeoutMs` at the latest, within a second;
   * where others of its connections are at work, when one of these is free.
   * @param account the route of the account that wants them: look-ups are shared out by it.
   */
  connect(to: number, origin: string, count: number, timeoutMs: number, account: number): void
  /** Sends on a free connection, within a turn of the event loop; lineTo() must be free. */
  send(attemptId: number, to: number, request: OutgoingRequest): void
  /**
   * No further event for the attempt; its connection is given up. An unknown attempt is ignored.
   */
  abort(attemptId: number): void
  /** Closes the destination's connections that are idle; those at work are not disturbed. */
  forget(to: number): void
  /** Gives up all that is in flight, without events; resolves when the sockets are closed. */
  close(): Promise<void>
}
