// TLS connections: whom they trust, their sessions, and whether one ended as TLS has it.
// Thread: shard. Memory: the newest session of each origin, at most TLS_SESSIONS_MAX.
// Never: knows of HTTP, or takes a certificate for another name than the one it connects to.
//
// A TLS connection ends with close_notify. Without it, whoever is on the way may have cut off what
// was still to come (RFC 8446, 6.1), and so may the other end by a crash. Node tells of both ends
// alike, so the TCP handle is asked under it: at its own end libuv has stopped reading.

import { type LookupFunction, type Socket, isIP } from 'node:net'
import {
  type SecureContext, type TLSSocket, createSecureContext, getCACertificates,
} from 'node:tls'
import type { buildConnector } from 'undici'
import { SOCKET_PROBE_MS, TLS_SESSIONS_MAX } from '../memory/socket-limits.ts'
import { connectLean } from './lean-socket.ts'

/** A connection was made, and then no trusted TLS session over it. */
class HandshakeError extends Error {
  override readonly name = 'HandshakeError'
  readonly code: unknown

  constructor(cause: NodeJS.ErrnoException) {
    super(cause.message, { cause })
    this.code = cause.code
  }
}

const handshakeError = (cause: Error): HandshakeError => new HandshakeError(cause)

/** What of Node's handle of a TLS connection is used; it is not documented. */
interface TlsHandle {
  readonly reading: boolean
  /** The TCP handle below it. */
  readonly _parent?: {
    /** Not 0 when it reads already. */
    readStart(): number
    readStop(): number
  }
}

const cutOff = new WeakSet<TLSSocket>()

/** Whether a socket that has ended did so without close_notify. */
export const isCutOff = (socket: TLSSocket): boolean => cutOff.has(socket)

/** Opens TLS connections, with what they have in common. */
export class SecureConnector {
  readonly #context: SecureContext
  readonly #lookup: { readonly lookup?: LookupFunction }
  /** By host and port, the one used last at the end. */
  readonly #sessions = new Map<string, Buffer>()

  /** Throws what node:tls throws when `extraCaPem` is not empty and not PEM. */
  constructor(extraCaPem: string, lookup: { readonly lookup?: LookupFunction } = {}) {
    this.#context = createSecureContext(extraCaPem === '' ? {} : {
      ca: [...getCACertificates('default'), extraCaPem],
    })
    this.#lookup = lookup
  }

  /** Opens one, as undici's own connector does for `https:`, but without a limit of time. */
  connect(target: buildConnector.Options, callback: buildConnector.Callback): TLSSocket {
    const { hostname, host = hostname, port } = target
    const servername = target.servername ?? (isIP(hostname) === 0 ? hostname : undefined)
    const session = this.#sessions.get(host)
    const socket = connectLean({
      ...this.#lookup,
      host: hostname, port: port === '' ? 443 : Number(port),
      secureContext: this.#context,
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
      ...(servername === undefined ? {} : { servername }),
      ...(session === undefined ? {} : { session }),
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, SOCKET_PROBE_MS)
    socket.on('session', (newer) => this.#keep(host, newer))
    watchEnd(socket)
    this.#tell(socket, host, callback)
    return socket
  }

  #tell(socket: TLSSocket, host: string, callback: buildConnector.Callback): void {
    let isConnected = false
    let isTold = false
    socket.once('connect', () => { isConnected = true })
    socket.once('secureConnect', () => {
      isTold = true
      callback(null, socket)
    })
    socket.on('error', (error) => {
      // Of a session that is there Node only tells, and then of the end that an alert is too. An
      // alert may still refuse the client's part of a handshake of TLS 1.3.
      if (isTold) return void socket.destroy(error)
      isTold = true
      this.#sessions.delete(host)
      callback(isConnected ? handshakeError(error) : error, null)
    })
  }

  #keep(host: string, session: Buffer): void {
    this.#sessions.delete(host)
    this.#sessions.set(host, session)
    if (this.#sessions.size <= TLS_SESSIONS_MAX) return
    for (const oldest of this.#sessions.keys()) return void this.#sessions.delete(oldest)
  }
}

/** Notes, while its end is told of, whether it was close_notify that ended the socket. */
function watchEnd(socket: TLSSocket): void {
  const push = socket.push.bind(socket) as Socket['push']
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !socket.readableEnded && hasTcpEnded(socket)) cutOff.add(socket)
    return push(chunk, encoding)
  }
}

/** Within the end's own call. A socket that does not read has heard of no end but close_notify. */
function hasTcpEnded(socket: TLSSocket): boolean {
  const { _handle: handle } = socket as unknown as { readonly _handle: TlsHandle | null }
  const { _parent: tcp } = handle ?? {}
  if (tcp === undefined || handle?.reading !== true || tcp.readStart() !== 0) return false
  tcp.readStop()
  return true
}
