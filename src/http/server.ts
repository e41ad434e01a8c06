// The HTTP server: its listeners and their routes, created once for the life of the process.
// The handlers are not here: each route calls the handler of the present front door, since a reload
// replaces its code.

import { monotonicUs } from '../../shards/base/clock.ts'
import type { Principal } from '../access/principal.ts'
import { CONNECTIONS_KEPT_PER_MILLE, OPERATORS_CONNECTIONS } from '../base/client-limits.ts'
import { fail } from '../base/errors.ts'
import type { Listener, ListenerKind } from '../config/listeners.ts'
import { frameTiers, payloadBytesMax } from './frame-tiers.ts'
import { listenProblem } from './listen-problem.ts'
import { type HttpRouteName, routeOf, routesOf } from './route-table.ts'
import {
  type HttpApp, type HttpLibrary, type HttpRequest, type ListenSocket, type RouteHandler,
  type UpgradableResponse,
  type UpgradeContext, type WebSocketBehavior, type WebSocketHandle, loadHttpLibrary,
} from './uws.ts'

/** The handlers of all routes. */
export interface RequestHandlers extends Readonly<Record<HttpRouteName, RouteHandler>> {
  /** @param tier index of the route's frame size; returns false to try the next route. */
  readonly upgrade: (
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext, tier: number,
  ) => boolean
}

/** The handlers of all listeners, by their kind. */
export type Handlers = Readonly<Record<ListenerKind, RequestHandlers>>

/** The present handlers; read for each request. */
export interface Answering {
  readonly handlers: Handlers
}

/** The library's data for each socket: own properties only, no prototype. */
export interface SocketData {
  readonly principal: Principal
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
const SOCKET_PATH = routeOf('upgrade').path
/** All of them match SOCKET_PATH; they are tried in this order. */
const SOCKET_PATTERNS = [SOCKET_PATH, '/:socket', '/*'] as const
const ADD = { GET: 'get', HEAD: 'head', POST: 'post', DELETE: 'del' } as const

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

/** One listener: an application of the library, with the routes of its kind. */
interface Listening {
  readonly app: HttpApp
  /** With its actual port. */
  readonly listener: Listener
  /** Undefined while it does not listen. */
  socket: ListenSocket | undefined
}

/** A listening server; made by listen(). */
export class HttpServer {
  readonly #library: HttpLibrary
  readonly #all: readonly Listening[]
  /** Counts the connections of all listeners. */
  readonly table: ConnectionTable

  private constructor(library: HttpLibrary, all: readonly Listening[], table: ConnectionTable) {
    this.#library = library
    this.#all = all
    this.table = table
  }

  /**
   * Listens at all addresses or none; port 0 is any free port. Throws OperatingError:
   * `cannot_listen` if listening fails, `native_missing` if the library has no binary for this
   * platform.
   * @param joins shares the ports with a server that listens already (CAN_SHARE).
   */
  static async listen(
    wanted: readonly Listener[], answering: Answering, bounds: ServerBounds, joins = false,
  ): Promise<HttpServer> {
    const library = await loadHttpLibrary()
    const connections = makeConnectionTable(bounds.connectionsMax)
    const all: Listening[] = []
    for (const listener of wanted) {
      const app = library.App()
      countConnections(app, listener.kind, connections)
      addRoutes(app, listener.kind, answering, bounds, connections)
      const socket = joins ? openSocket(app, listener, SHARED) : openAlone(app, library, listener)
      if (socket === undefined) {
        app.close()
        for (const each of all) each.app.close()
        return fail('cannot_listen', await listenProblem(listener))
      }
      const port = library.us_socket_local_port(socket)
      all.push({ app, socket, listener: { ...listener, port } })
    }
    return new HttpServer(library, all, connections)
  }

  /** Where it listens, with the actual ports. */
  get listeners(): readonly Listener[] {
    return this.#all.map(({ listener }) => listener)
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
      for (const each of this.#all) {
        if (each.socket !== undefined) this.#library.us_listen_socket_close(each.socket)
        each.socket = undefined
      }
      closed()
    }
    setImmediate(look)
  }

  /** Listens again; false when a port cannot be bound at present. */
  listenAgain(): boolean {
    for (const each of this.#all) each.socket ??= openSocket(each.app, each.listener, SHARED)
    return this.#all.every(({ socket }) => socket !== undefined)
  }

  /** Closes the listening sockets and all connections immediately. */
  close(): void {
    for (const { app } of this.#all) app.close()
  }
}

/** Closes connections beyond the limit at once. */
function countConnections(app: HttpApp, kind: ListenerKind, connections: ConnectionTable): void {
  const openMax = connections.openMax + (kind === 'operators' ? OPERATORS_CONNECTIONS : 0)
  app.filter((response, change) => {
    connections.open += change
    if (change < 0 || connections.open <= openMax) return
    connections.refused++
    response.close()
  })
}

/** Listens on an unused port; undefined when it cannot. */
function openAlone(app: HttpApp, library: HttpLibrary, wanted: Listener): ListenSocket | undefined {
  for (let tries = 0; tries < FREE_PORTS_MAX; tries++) {
    const alone = openSocket(app, wanted, library.LIBUS_LISTEN_EXCLUSIVE_PORT)
    if (alone === undefined || !CAN_SHARE) return alone
    const port = library.us_socket_local_port(alone)
    library.us_listen_socket_close(alone)
    const socket = openSocket(app, { ...wanted, port }, SHARED)
    // A free port that the system chose may have been taken meanwhile.
    if (socket !== undefined || wanted.port !== 0) return socket
  }
  return undefined
}

/** Undefined when it cannot listen. */
function openSocket(app: HttpApp, { host, port }: Listener, options: number):
  ListenSocket | undefined {
  let socket: ListenSocket | false = false
  // The library calls back before listen() returns.
  app.listen(host, port, options, (opened) => { socket = opened })
  return socket === false ? undefined : socket
}

function addRoutes(
  app: HttpApp, kind: ListenerKind, now: Answering, bounds: ServerBounds,
  connections: ConnectionTable,
): void {
  for (const { methods, name, path } of routesOf(kind)) {
    if (name === 'upgrade') {
      // The library has one frame size per route; a route that yields passes to the next match.
      for (const [tier, pattern] of SOCKET_PATTERNS.entries()) {
        app.ws(pattern, socketBehavior(kind, now, bounds, connections, tier))
      }
      continue
    }
    const handle: RouteHandler = (response, request) =>
      now.handlers[kind][name](response, request)
    if (methods.length === 0) app.any(path, handle)
    for (const method of methods) app[ADD[method]](path, handle)
  }
}

function socketBehavior(
  kind: ListenerKind, now: Answering, { bodyBytesMax, clientBytesMax, idleMs }: ServerBounds,
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
        now.handlers[kind].upgrade(response, request, context, tier)
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
