// The HTTP server: its listening socket and its routes, made once for the life of the process.
// Nothing of what happens behind a route is here: each hands over to whoever answers at that
// moment, since a reload replaces the code that does.

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

/** What is answered to each route. A path that is not among these comes to `other`. */
export interface RequestHandlers {
  readonly postJob: RouteHandler
  readonly postBatch: RouteHandler
  readonly getJob: RouteHandler
  readonly deleteJob: RouteHandler
  readonly streamJob: RouteHandler
  readonly health: RouteHandler
  readonly ready: RouteHandler
  readonly other: RouteHandler
  /** @param tier which of the frame sizes the route has; false: ask the next one. */
  readonly upgrade: (
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext, tier: number,
  ) => boolean
}

/** Who answers at this moment; asked anew for each request. */
export interface Answering {
  readonly handlers: RequestHandlers
}

/** What the library keeps for each socket: its own properties only, no prototype. */
export interface SocketData {
  /** Its jobs ask for account queues at their upstreams. */
  readonly wantsAccountQueue: boolean
  readonly frameBytesMax: number
  /** What stands for its client's address in the pool of sockets. */
  readonly address: number
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

/** The bounds of connections, which the library is told once. */
export interface ServerBounds {
  readonly bodyBytesMax: number
  /** Without a byte, before a socket is closed. */
  readonly idleMs: number
  readonly clientBytesMax: number
  readonly connectionsMax: number
}

/**
 * Whether two processes can listen at one port at once, each getting a share of the connections. A
 * server listens so that another can take over from it. That nobody is there already, of whom it
 * would take a share, it finds out before, by listening for an instant as one that does not share.
 */
export const CAN_SHARE = process.platform === 'linux'
const SHARED = 0
/**
 * A turn of the event loop that was so short has taken what connections there were, a moment ago;
 * when there is none so short for a while, a longer one does.
 */
const QUIET_TURN_US = 20
const LOUD_TURN_US = 150
/** Turns that are waited for one that is short. */
const LOUD_TURNS_MAX = 2000
const FREE_PORTS_MAX = 10
const SOCKET_PATH = '/ws'
/** All of them match SOCKET_PATH, each in its turn. */
const SOCKET_ROUTES = ['/ws', '/:socket', '/*'] as const

/** The connections of clients; plain data. */
export interface ConnectionTable {
  /** Those that are there, sockets among them. */
  open: number
  sockets: number
  /** Above it a new one is closed at once. */
  readonly openMax: number
  /** Above it an answer is its connection's last. */
  readonly keptMax: number
  refused: number
}

/** No connections. */
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
   * Listens at a host and port; port 0 is any that is free. Throws OperatingError: `cannot_listen`
   * when the address cannot be had, `native_missing` when there is no server for this platform.
   * @param joins a server that listens there already, and lets another do so (CAN_SHARE).
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

  /** Connections that speak HTTP; sockets are not among them. */
  get connections(): number {
    return this.table.open - this.table.sockets
  }

  /**
   * Takes no more connections; those that are there stay. What has come and has not been taken is
   * cut off by the system, so this waits for a moment at which the event loop has just looked and
   * found nothing, and calls `closed` in that same moment.
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

  /** Takes connections again; false when the port cannot be had at present. */
  listenAgain(): boolean {
    this.#socket ??= openSocket(this.#app, this.address, SHARED)
    return this.#socket !== undefined
  }

  /** Closes the listening socket and every connection, at once. */
  close(): void {
    this.#app.close()
  }
}

/** Where nobody listens yet; undefined when the address cannot be had. */
function openAlone(app: HttpApp, library: HttpLibrary, wanted: Address): ListenSocket | undefined {
  for (let tries = 0; tries < FREE_PORTS_MAX; tries++) {
    const alone = openSocket(app, wanted, library.LIBUS_LISTEN_EXCLUSIVE_PORT)
    if (alone === undefined || !CAN_SHARE) return alone
    const port = library.us_socket_local_port(alone)
    library.us_listen_socket_close(alone)
    const socket = openSocket(app, { host: wanted.host, port }, SHARED)
    // A port that was any may be another's by now.
    if (socket !== undefined || wanted.port !== 0) return socket
  }
  return undefined
}

/** Undefined when the address cannot be had. */
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
  // The library has one size of frames for each route, and goes on to the next if it is asked to.
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
    // The limits on what is unread are the owner's, with a warning; this one is never met.
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
      // The library does not tell filter() of the end of one that became a socket.
      connections.sockets--
      connections.open--
      handle.getUserData().owner.closed(handle)
    },
  }
}
