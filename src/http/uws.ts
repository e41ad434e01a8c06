// The native HTTP server, loaded when it is first needed, and the few of its types that are used.
// Its own declarations say `any` about responses and leave out an overload of listen().

import { fail } from '../base/errors.ts'
import { REQUEST_HEADERS_BYTES_MAX } from '../base/limits.ts'

/**
 * A text as bytes, which the library takes at half of what a string costs it: for what each request
 * is asked or answered.
 */
export type Ascii = ArrayBuffer

/** 'ok' → its two bytes; ASCII. */
export const asciiOf = (text: string): Ascii => new TextEncoder().encode(text).buffer

/** A response; not to be touched after its onAborted has run or it has ended. */
export interface HttpResponse {
  writeStatus(status: string | Ascii): HttpResponse
  writeHeader(name: string | Ascii, value: string | Ascii): HttpResponse
  /** Chunked; true when nothing is left in the server's own buffer. */
  write(chunk: string | Uint8Array): boolean
  end(body?: string | Uint8Array | Ascii, closeConnection?: boolean): HttpResponse
  /** Answers a HEAD: sends no body. (With a length, it would end the connection as well.) */
  endWithoutBody(): HttpResponse
  /** Writes what the client takes now: whether that was all of the chunk, and of the body. */
  tryEnd(chunk: Uint8Array, totalBytes: number): [isTaken: boolean, isDone: boolean]
  close(): HttpResponse
  onAborted(handler: () => void): HttpResponse
  /** The chunk is only valid inside the handler. */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): HttpResponse
  cork(write: () => void): HttpResponse
  /**
   * Called when what was written has gone out, with the offset of the body.
   * @param handler true: that is all there was to do.
   */
  onWritable(handler: (offset: number) => boolean): HttpResponse
}

/** A response that is written while its request is still read. */
export interface StreamedResponse extends HttpResponse {
  /** Stops reading the request's body until resume(). */
  pause(): void
  resume(): void
}

/** The response of a request to open a socket. */
export interface UpgradableResponse extends HttpResponse {
  /** The client's: 4 or 16 bytes. */
  getRemoteAddress(): ArrayBuffer
  upgrade<Data>(data: Data, key: string, protocol: string, extensions: string,
    context: UpgradeContext): void
}

/** What an upgrade hands on; only the library knows what is in it. */
export type UpgradeContext = object

/** An open socket; not to be touched after its close handler has run. */
export interface WebSocketHandle<Data> {
  getUserData(): Data
  /** 1: gone out; 0: some of it waits in the server; 2: dropped, the backlog is full. */
  send(message: string | Uint8Array, isBinary: boolean): number
  /** Bytes that the client has not taken. */
  getBufferedAmount(): number
  /** Says goodbye with a code of RFC 6455. */
  end(code: number, reason: string): void
  /** Ends it at once. */
  close(): void
  cork(write: () => void): unknown
}

/** How sockets of one path behave. */
export interface WebSocketBehavior<Data> {
  /** Of one message; larger ones end the socket with 1009. */
  readonly maxPayloadLength: number
  /** Of what one socket leaves unread. */
  readonly maxBackpressure: number
  readonly closeOnBackpressureLimit: boolean
  /** Seconds without a byte, after which it is closed; a ping goes out shortly before. */
  readonly idleTimeout: number
  readonly sendPingsAutomatically: boolean
  readonly upgrade: (
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext,
  ) => void
  readonly open: (socket: WebSocketHandle<Data>) => void
  /** The message is only valid inside the handler. */
  readonly message: (
    socket: WebSocketHandle<Data>, message: ArrayBuffer, isBinary: boolean,
  ) => void
  readonly drain: (socket: WebSocketHandle<Data>) => void
  readonly close: (socket: WebSocketHandle<Data>) => void
}

/** A request; only valid inside the route's handler. Header names in lower case, '' for none. */
export interface HttpRequest {
  getHeader(name: string | Ascii): string
  getParameter(index: number): string | undefined
  getUrl(): string
  /** What is behind the question mark, '' for nothing. */
  getQuery(): string
  getMethod(): string
  forEach(tell: (name: string, value: string) => void): void
  /** True: this route has not answered, and the next that matches is asked. */
  setYield(isToGoOn: boolean): void
}

export type RouteHandler = (response: StreamedResponse, request: HttpRequest) => void

/** An open listening socket; only the library knows what is in it. */
export type ListenSocket = object

/** An application: routes and sockets. */
export interface HttpApp {
  get(pattern: string, handler: RouteHandler): HttpApp
  post(pattern: string, handler: RouteHandler): HttpApp
  del(pattern: string, handler: RouteHandler): HttpApp
  any(pattern: string, handler: RouteHandler): HttpApp
  ws<Data>(pattern: string, behavior: WebSocketBehavior<Data>): HttpApp
  listen(
    host: string, port: number, options: number, done: (socket: ListenSocket | false) => void,
  ): HttpApp
  /** Told of each connection, 1, and of its end, -1; but of no end of one that became a socket. */
  filter(tell: (response: HttpResponse, change: number) => void): HttpApp
  close(): HttpApp
}

/** The library. */
export interface HttpLibrary {
  App(): HttpApp
  SSLApp(options: { readonly cert_file_name: string, readonly key_file_name: string }): HttpApp
  us_socket_local_port(socket: ListenSocket): number
  us_listen_socket_close(socket: ListenSocket): void
  /** listen() without SO_REUSEPORT: fails where anybody listens, willing to share or not. */
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number
}

/**
 * Loads the library. Throws OperatingError `native_missing` where it has no binary for this
 * platform and version of Node.
 */
export async function loadHttpLibrary(): Promise<HttpLibrary> {
  // Read by the library when it is loaded, which is why it is not imported at the top.
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
