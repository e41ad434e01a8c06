// The HTTP server: sockets and routes, nothing of what happens behind them.

import { fail } from '../errors.ts'
import type { BodyReceiver } from './receive.ts'
import { addRoutes, type Door } from './routes.ts'
import { type HttpApp, type ListenSocket, loadHttpLibrary } from './uws.ts'

/** Where a server listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Who takes the sockets. */
export interface SocketRoute {
  addRoute(app: HttpApp): void
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
    wanted: Address, door: Door, receiver: BodyReceiver, sockets: SocketRoute,
  ): Promise<HttpServer> {
    const library = await loadHttpLibrary()
    const app = library.App()
    sockets.addRoute(app)
    addRoutes(app, door, receiver)
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
