// The HTTP server: its listening socket and its routes, made once for the life of the process.
// Nothing of what happens behind a route is here: each hands over to whoever answers at that
// moment, since a reload replaces the code that does.

import { FRAME_OVERHEAD_BYTES, SOCKET_BACKLOGS_BYTES_MAX } from '../../shards/limits.ts'
import { fail } from '../errors.ts'
import {
  type HttpApp, type HttpRequest, type ListenSocket, type RouteHandler, type UpgradableResponse,
  type UpgradeContext, type WebSocketBehavior, type WebSocketHandle, loadHttpLibrary,
} from './uws.ts'

/** Where a server listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** What is answered to each route. A path that is not among these comes to `other`. */
export interface RequestHandlers {
  readonly postJob: RouteHandler
  readonly postBatch: RouteHandler
  readonly getJob: RouteHandler
  readonly deleteJob: RouteHandler
  readonly followJob: RouteHandler
  readonly health: RouteHandler
  readonly ready: RouteHandler
  readonly other: RouteHandler
  readonly upgrade: (
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext,
  ) => void
}

/** Who answers at this moment; asked anew for each request. */
export interface Answering {
  readonly handlers: RequestHandlers
}

/** What the library keeps for each socket: its own properties only, no prototype. */
export interface SocketData {
  /** Its jobs ask for account queues at their upstreams. */
  readonly isolate: boolean
  /** Who hears it. */
  owner: SocketOwner
  /** The owner's own. */
  socket: object | undefined
}

/** Who hears sockets. */
export interface SocketOwner {
  opened(handle: WebSocketHandle<SocketData>): void
  /** The message is only valid inside. */
  heard(handle: WebSocketHandle<SocketData>, message: ArrayBuffer, isBinary: boolean): void
  drained(handle: WebSocketHandle<SocketData>): void
  closed(handle: WebSocketHandle<SocketData>): void
}

/** The bounds of sockets, which the library is told once. */
export interface SocketBounds {
  readonly bodyBytesMax: number
  /** Without a byte, before a socket is closed. */
  readonly idleMs: number
}

/** A listening server; made by listen(). */
export class HttpServer {
  readonly address: Address
  readonly #app: HttpApp

  private constructor(app: HttpApp, address: Address) {
    this.#app = app
    this.address = address
  }

  /**
   * Listens at a host and port; port 0 is any that is free. Throws OperatingError: `port_taken`
   * when the address cannot be had, `native_missing` when there is no server for this platform.
   */
  static async listen(
    wanted: Address, answering: Answering, bounds: SocketBounds,
  ): Promise<HttpServer> {
    const library = await loadHttpLibrary()
    const app = library.App()
    addRoutes(app, answering, bounds)
    const { host, port } = wanted
    let socket: ListenSocket | false = false
    // The library calls back before listen() returns.
    app.listen(host, port, library.LIBUS_LISTEN_EXCLUSIVE_PORT, (opened) => { socket = opened })
    if (socket === false) {
      app.close()
      fail('port_taken', `cannot listen on ${host}:${port}: the port is taken, ` +
        'or the address is not one of this machine')
    }
    return new HttpServer(app, { host, port: library.us_socket_local_port(socket) })
  }

  /** Closes the listening socket and every connection, at once. */
  close(): void {
    this.#app.close()
  }
}

function addRoutes(app: HttpApp, now: Answering, bounds: SocketBounds): void {
  app.ws('/ws', socketBehavior(now, bounds))
  app.post('/jobs', (response, request) => now.handlers.postJob(response, request))
  app.post('/jobs/batch', (response, request) => now.handlers.postBatch(response, request))
  app.get('/jobs/:id', (response, request) => now.handlers.getJob(response, request))
  app.del('/jobs/:id', (response, request) => now.handlers.deleteJob(response, request))
  app.get('/jobs/:id/stream', (response, request) => now.handlers.followJob(response, request))
  app.get('/health', (response, request) => now.handlers.health(response, request))
  app.get('/ready', (response, request) => now.handlers.ready(response, request))
  app.any('/*', (response, request) => now.handlers.other(response, request))
}

function socketBehavior(
  now: Answering, { bodyBytesMax, idleMs }: SocketBounds,
): WebSocketBehavior<SocketData> {
  return {
    // Twice what is allowed, so that what is a little over it can be said goodbye to.
    maxPayloadLength: 2 * (bodyBytesMax + FRAME_OVERHEAD_BYTES),
    // The limits on what is unread are the owner's, with a warning; this one is never met.
    maxBackpressure: SOCKET_BACKLOGS_BYTES_MAX,
    closeOnBackpressureLimit: true,
    idleTimeout: Math.ceil(idleMs / 1000),
    sendPingsAutomatically: true,
    upgrade: (response, request, context) => now.handlers.upgrade(response, request, context),
    open: (handle) => handle.getUserData().owner.opened(handle),
    message: (handle, message, isBinary) =>
      handle.getUserData().owner.heard(handle, message, isBinary),
    drain: (handle) => handle.getUserData().owner.drained(handle),
    close: (handle) => handle.getUserData().owner.closed(handle),
  }
}
