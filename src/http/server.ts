// The HTTP server: its listening socket and its routes, created once for the life of the process.
// The handlers are not here: each route calls the handler of the present front door, since a reload
// replaces its code.

import { monotonicUs } from '../../shards/base/clock.ts'
import { CONNECTIONS_KEPT_PER_MILLE } from '../base/client-limits.ts'
import { fail } from '../base/errors.ts'
import { frameTiers, payloadBytesMax } from './frame-tiers.ts'
import { listenProblem } from './listen-problem.ts'
import {
  type HttpApp, type HttpLibrary, type HttpRequest, type ListenSocket, type RouteHandler,
  type UpgradableResponse,
  type UpgradeContext, type WebSocketBehavior, type WebSocketHandle, loadHttpLibrary,
} from './uws.ts'

/** Where a server listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The handlers of all routes. Paths that match no other route go to `other`. */
export interface RequestHandlers {
  readonly postJob: RouteHandler
  readonly postBatch: RouteHandler
  readonly getJob: RouteHandler
  readonly deleteJob: RouteHandler
  readonly streamJob: RouteHandler
  readonly health: RouteHandler
  readonly ready: RouteHandler
  readonly other: RouteHandler
  /** @param tier index of the route's frame size; returns false to try the next route. */
  readonly upgrade: (
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext, tier: number,
  ) => boolean
}

/** The present handlers; read for each request. */
export interface Answering {
  readonly handlers: RequestHandlers
}

/** The library's data for each socket: own properties only, no prototype. */
export interface SocketData {
  /** Its jobs ask for account queues at their upstreams. */
  readonly wantsAccountQueue: boolean
  readonly frameBytesMax: number
  /** The key of its client's address in the pool of sockets. */
  readonly address: number
  /** Receives its events. */
  owner: SocketOwner
  /** For the owner's use. */
  socket: object | undefined
}

/** Receives the events of sockets. */
export interface SocketOwner {
  opened(handle: WebSocketHandle<SocketData>): void
  /** The message is valid only until it returns. */
  heard(handle: WebSocketHandle<SocketData>, message: ArrayBuffer, isBinary: boolean): void
  drained(handle: WebSocketHandle<SocketData>): void
  closed(handle: WebSocketHandle<SocketData>): void
}

/** Limits of connections, which are passed to the library once. */
export interface ServerBounds {
  readonly bodyBytesMax: number
  /** How long a socket may be silent before it is closed. */
  readonly idleMs: number
  readonly clientBytesMax: number
  readonly connectionsMax: number
}

/**
 * Whether two processes can listen on one port at the same time, each getting a part of the
 * connections. A server listens that way so that a successor can take over. To find out first
 * whether the port is in use, so as not to take another server's connections, it briefly listens
 * without sharing.
 */
export const CAN_SHARE = process.platform === 'linux'
const SHARED = 0
/**
 * An iteration of the event loop this short has just accepted all pending connections; if none is
 * this short for a while, a longer one is accepted as quiet.
 */
const QUIET_TURN_US = 20
const LOUD_TURN_US = 150
/** Limit of iterations to wait for a quiet one. */
const LOUD_TURNS_MAX = 2000
const FREE_PORTS_MAX = 10
const SOCKET_PATH = '/ws'
/** All of them match SOCKET_PATH; they are tried in this order. */
const SOCKET_ROUTES = ['/ws', '/:socket', '/*'] as const

/** The connections of clients, as plain data. */
export interface ConnectionTable {
  /** Open connections, sockets included. */
  open: number
  sockets: number
  /** Beyond it, a new connection is closed at once. */
  readonly openMax: number
  /** Beyond it, connections are closed with their next answer. */
  readonly keptMax: number
  refused: number
}

/** A table without connections. */
export const makeConnectionTable = (openMax: number): ConnectionTable => ({
  open: 0, sockets: 0, openMax, refused: 0,
  keptMax: Math.ceil(openMax * CONNECTIONS_KEPT_PER_MILLE / 1000),
})

interface ServerParts {
  readonly app: HttpApp
  readonly library: HttpLibrary
  readonly socket: ListenSocket
  readonly connections: ConnectionTable
}

/** A listening server; made by listen(). */
export class HttpServer {
  readonly address: Address
  readonly #app: HttpApp
  readonly #library: HttpLibrary
  readonly table: ConnectionTable
  #socket: ListenSocket | undefined

  private constructor(parts: ServerParts, address: Address) {
    this.#app = parts.app
    this.#library = parts.library
    this.table = parts.connections
    this.#socket = parts.socket
    this.address = address
  }

  /**
   * Listens at a host and port; port 0 is any free port. Throws OperatingError: `cannot_listen` if
   * listening fails, `native_missing` if the library has no binary for this platform.
   * @param joins shares the port with a server that listens already (CAN_SHARE).
   */
  static async listen(
    wanted: Address, answering: Answering, bounds: ServerBounds, joins = false,
  ): Promise<HttpServer> {
    const library = await loadHttpLibrary()
    const app = library.App()
    const connections = makeConnectionTable(bounds.connectionsMax)
    app.filter((response, change) => {
      connections.open += change
      if (change < 0 || connections.open <= connections.openMax) return
      connections.refused++
      response.close()
    })
    addRoutes(app, answering, bounds, connections)
    const socket = joins ? openSocket(app, wanted, SHARED) : openAlone(app, library, wanted)
    if (socket === undefined) {
      app.close()
      return fail('cannot_listen', await listenProblem(wanted.host, wanted.port))
    }
    return new HttpServer({ app, library, socket, connections },
      { host: wanted.host, port: library.us_socket_local_port(socket) })
  }

  /** HTTP connections, without WebSockets. */
  get connections(): number {
    return this.table.open - this.table.sockets
  }

  /**
   * Stops accepting connections; open ones stay. The system resets connections that are pending in
   * the accept queue, so this waits for a moment when the event loop has just found none, and calls
   * `closed` in the same step.
   */
  stopListening(closed: () => void): void {
    let turns = 0
    let turnUs = monotonicUs()
    const look = (): void => {
      const nowUs = monotonicUs()
      const quietUs = turns < LOUD_TURNS_MAX / 2 ? QUIET_TURN_US : LOUD_TURN_US
      const isQuiet = nowUs - turnUs < quietUs
      turnUs = nowUs
      if (!isQuiet && ++turns < LOUD_TURNS_MAX) return void setImmediate(look)
      if (this.#socket !== undefined) this.#library.us_listen_socket_close(this.#socket)
      this.#socket = undefined
      closed()
    }
    setImmediate(look)
  }

  /** Listens again; false when the port cannot be bound at present. */
  listenAgain(): boolean {
    this.#socket ??= openSocket(this.#app, this.address, SHARED)
    return this.#socket !== undefined
  }

  /** Closes the listening socket and all connections immediately. */
  close(): void {
    this.#app.close()
  }
}

/** Listens on an unused port; undefined when it cannot. */
function openAlone(app: HttpApp, library: HttpLibrary, wanted: Address): ListenSocket | undefined {
  for (let tries = 0; tries < FREE_PORTS_MAX; tries++) {
    const alone = openSocket(app, wanted, library.LIBUS_LISTEN_EXCLUSIVE_PORT)
    if (alone === undefined || !CAN_SHARE) return alone
    const port = library.us_socket_local_port(alone)
    library.us_listen_socket_close(alone)
    const socket = openSocket(app, { host: wanted.host, port }, SHARED)
    // A free port that the system chose may have been taken meanwhile.
    if (socket !== undefined || wanted.port !== 0) return socket
  }
  return undefined
}

/** Undefined when it cannot listen. */
function openSocket(app: HttpApp, { host, port }: Address, options: number):
  ListenSocket | undefined {
  let socket: ListenSocket | false = false
  // The library calls back before listen() returns.
  app.listen(host, port, options, (opened) => { socket = opened })
  return socket === false ? undefined : socket
}

function addRoutes(
  app: HttpApp, now: Answering, bounds: ServerBounds, connections: ConnectionTable,
): void {
  // The library has one frame size per route; a route that yields passes to the next match.
  for (const [tier, pattern] of SOCKET_ROUTES.entries()) {
    app.ws(pattern, socketBehavior(now, bounds, connections, tier))
  }
  app.post('/jobs', (response, request) => now.handlers.postJob(response, request))
  app.post('/jobs/batch', (response, request) => now.handlers.postBatch(response, request))
  app.get('/jobs/:id', (response, request) => now.handlers.getJob(response, request))
  app.del('/jobs/:id', (response, request) => now.handlers.deleteJob(response, request))
  app.get('/jobs/:id/stream', (response, request) => now.handlers.streamJob(response, request))
  app.get('/health', (response, request) => now.handlers.health(response, request))
  app.get('/ready', (response, request) => now.handlers.ready(response, request))
  app.any('/*', (response, request) => now.handlers.other(response, request))
}

function socketBehavior(
  now: Answering, { bodyBytesMax, clientBytesMax, idleMs }: ServerBounds,
  connections: ConnectionTable, tier: number,
): WebSocketBehavior<SocketData> {
  return {
    maxPayloadLength: payloadBytesMax(frameTiers(bodyBytesMax)[tier] as number),
    // The owner limits unread bytes, with a warning; this limit is never reached.
    maxBackpressure: clientBytesMax,
    closeOnBackpressureLimit: true,
    idleTimeout: Math.ceil(idleMs / 1000),
    sendPingsAutomatically: true,
    upgrade: (response, request, context) => {
      const isAnswered = request.getUrl() === SOCKET_PATH &&
        now.handlers.upgrade(response, request, context, tier)
      if (!isAnswered) request.setYield(true)
    },
    open: (handle) => {
      connections.sockets++
      handle.getUserData().owner.opened(handle)
    },
    message: (handle, message, isBinary) =>
      handle.getUserData().owner.heard(handle, message, isBinary),
    drain: (handle) => handle.getUserData().owner.drained(handle),
    close: (handle) => {
      // The library does not call filter() at the end of a connection that became a socket.
      connections.sockets--
      connections.open--
      handle.getUserData().owner.closed(handle)
    },
  }
}
