// The native HTTP server, loaded on first use, and types for the part of it that is used. Its own
// declarations type responses as `any` and lack an overload of listen().

import { fail } from '../base/errors.ts'
import { REQUEST_HEADERS_BYTES_MAX } from '../base/limits.ts'

/**
 * A string as bytes, which the library accepts at half the cost of a string: for what is read or
 * written for every request.
 */
export type Ascii = ArrayBuffer

/** 'ok' → its two bytes; ASCII. */
export const asciiOf = (text: string): Ascii => new TextEncoder().encode(text).buffer

/** A response; must not be used after onAborted has been called or it has ended. */
export interface HttpResponse {
  writeStatus(status: string | Ascii): HttpResponse
  writeHeader(name: string | Ascii, value: string | Ascii): HttpResponse
  /** Chunked; true when the server's own buffer is empty afterwards. */
  write(chunk: string | Uint8Array): boolean
  end(body?: string | Uint8Array | Ascii, closeConnection?: boolean): HttpResponse
  /** For HEAD: sends no body. (With a length as argument, it would also close the connection.) */
  endWithoutBody(): HttpResponse
  /** Writes as much as the socket takes; returns whether the chunk, and the body, is complete. */
  tryEnd(chunk: Uint8Array, totalBytes: number): [isTaken: boolean, isDone: boolean]
  close(): HttpResponse
  onAborted(handler: () => void): HttpResponse
  /** The chunk is valid only until the handler returns. */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): HttpResponse
  cork(write: () => void): HttpResponse
  /**
   * Called when the socket is writable again, with the offset in the body.
   * @param handler returns true when it has written everything.
   */
  onWritable(handler: (offset: number) => boolean): HttpResponse
}

/** A connection with an address at its other end. */
export interface Connected {
  /** 4 or 16 bytes. */
  getRemoteAddress(): ArrayBuffer
}

/** A response that is written while its request is still being read. */
export interface StreamedResponse extends HttpResponse, Connected {
  /** Stops reading the request's body until resume(). */
  pause(): void
  resume(): void
}

/** The response to a WebSocket upgrade request. */
export interface UpgradableResponse extends HttpResponse, Connected {
  upgrade<Data>(data: Data, key: string, protocol: string, extensions: string,
    context: UpgradeContext): void
}

/** Passed from the upgrade handler back to the library; opaque. */
export type UpgradeContext = object

/** An open socket; must not be used after its close handler has been called. */
export interface WebSocketHandle<Data> {
  getUserData(): Data
  /** 1: sent; 0: partly buffered in the server; 2: dropped, the backlog is full. */
  send(message: string | Uint8Array, isBinary: boolean): number
  /** Bytes buffered in the server, not yet sent. */
  getBufferedAmount(): number
  /** Closes with a code of RFC 6455. */
  end(code: number, reason: string): void
  /** Closes immediately. */
  close(): void
  cork(write: () => void): unknown
}

/** Behaviour of the sockets of one route. */
export interface WebSocketBehavior<Data> {
  /** Limit of one message; larger ones close the socket with 1009. */
  readonly maxPayloadLength: number
  /** Limit of a socket's unread bytes. */
  readonly maxBackpressure: number
  readonly closeOnBackpressureLimit: boolean
  /** Seconds without a byte until it is closed; a ping is sent shortly before. */
  readonly idleTimeout: number
  readonly sendPingsAutomatically: boolean
  readonly upgrade: (
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext,
  ) => void
  readonly open: (socket: WebSocketHandle<Data>) => void
  /** The message is valid only until the handler returns. */
  readonly message: (
    socket: WebSocketHandle<Data>, message: ArrayBuffer, isBinary: boolean,
  ) => void
  readonly drain: (socket: WebSocketHandle<Data>) => void
  readonly close: (socket: WebSocketHandle<Data>) => void
}

/** A request; valid only inside the route's handler. Header names in lower case, '' for none. */
export interface HttpRequest {
  getHeader(name: string | Ascii): string
  getParameter(index: number): string | undefined
  getUrl(): string
  /** The query string without the question mark, '' for none. */
  getQuery(): string
  getMethod(): string
  forEach(tell: (name: string, value: string) => void): void
  /** True: this route does not answer; the next matching route is tried. */
  setYield(isToGoOn: boolean): void
}

export type RouteHandler = (response: StreamedResponse, request: HttpRequest) => void

/** An open listening socket; opaque. */
export type ListenSocket = object

/** An application: routes and sockets. */
export interface HttpApp {
  get(pattern: string, handler: RouteHandler): HttpApp
  head(pattern: string, handler: RouteHandler): HttpApp
  post(pattern: string, handler: RouteHandler): HttpApp
  del(pattern: string, handler: RouteHandler): HttpApp
  any(pattern: string, handler: RouteHandler): HttpApp
  ws<Data>(pattern: string, behavior: WebSocketBehavior<Data>): HttpApp
  listen(
    host: string, port: number, options: number, done: (socket: ListenSocket | false) => void,
  ): HttpApp
  /** Called with 1 for each new connection and -1 at its end, unless it became a WebSocket. */
  filter(tell: (response: HttpResponse, change: number) => void): HttpApp
  close(): HttpApp
}

/** The library. */
export interface HttpLibrary {
  App(): HttpApp
  SSLApp(options: { readonly cert_file_name: string, readonly key_file_name: string }): HttpApp
  us_socket_local_port(socket: ListenSocket): number
  us_listen_socket_close(socket: ListenSocket): void
  /** listen() without SO_REUSEPORT: fails if any process listens there, sharing or not. */
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number
}

/**
 * Loads the library. Throws OperatingError `native_missing` where it has no binary for this
 * platform and version of Node.
 */
export async function loadHttpLibrary(): Promise<HttpLibrary> {
  // The library reads this when it is loaded; hence the dynamic import.
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= String(REQUEST_HEADERS_BYTES_MAX)
  try {
    return await import('uWebSockets.js') as unknown as HttpLibrary
  } catch (error) {
    return fail('native_missing',
      `uWebSockets.js has no binary for Node ${process.version} on ${process.platform} ` +
      `${process.arch}; Node 22 on glibc Linux, macOS or Windows has one. ` +
      `docs/OPERATIONS.md says how to use upstream's own Git tag.`, error)
  }
}
