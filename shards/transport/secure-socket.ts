// TLS connections: trusted authorities, session resumption, and whether one ended properly.
// Thread: shard. Memory: the newest session of each origin, at most TLS_SESSIONS_MAX.
// Never: knows of HTTP, or accepts a certificate for a name other than the one it connects to.
//
// A TLS connection ends with close_notify. Without it, an attacker on the path, or a crash of the
// peer, may have truncated the data (RFC 8446, 6.1). Node reports both kinds of end alike, so the
// TCP handle below is checked: at its own end libuv has stopped reading.

import { type LookupFunction, type Socket, isIP } from 'node:net'
import {
  type SecureContext, type TLSSocket, createSecureContext, getCACertificates,
} from 'node:tls'
import type { buildConnector } from 'undici'
import { SOCKET_PROBE_MS, TLS_SESSIONS_MAX } from '../memory/socket-limits.ts'
import { connectLean } from './lean-socket.ts'

/** The TCP connection was opened, but no trusted TLS session over it. */
class HandshakeError extends Error {
  override readonly name = 'HandshakeError'
  readonly code: unknown

  constructor(cause: NodeJS.ErrnoException) {
    super(cause.message, { cause })
    this.code = cause.code
  }
}

const handshakeError = (cause: Error): HandshakeError => new HandshakeError(cause)

/** The used part of Node's handle of a TLS connection, which is undocumented. */
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

/** Opens TLS connections with a common context and session cache. */
export class SecureConnector {
  readonly #context: SecureContext
  /** By host and port, the most recently stored last. */
  readonly #sessions = new Map<string, Buffer>()

  /** Throws what node:tls throws when `extraCaPem` is not empty and not PEM. */
  constructor(extraCaPem: string) {
    this.#context = createSecureContext(extraCaPem === '' ? {} : {
      ca: [...getCACertificates('default'), extraCaPem],
    })
  }

  /** Opens one, as undici's own connector does for `https:`, but without a timeout. */
  connect(
    target: buildConnector.Options, callback: buildConnector.Callback, lookup: LookupFunction,
  ): TLSSocket {
    const { hostname, host = hostname, port } = target
    const servername = target.servername ?? (isIP(hostname) === 0 ? hostname : undefined)
    const session = this.#sessions.get(host)
    const socket = connectLean({
      lookup, host: hostname, port: port === '' ? 443 : Number(port),
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
    this.#report(socket, host, callback)
    return socket
  }

  #report(socket: TLSSocket, host: string, callback: buildConnector.Callback): void {
    let isConnected = false
    let isReported = false
    socket.once('connect', () => { isConnected = true })
    socket.once('secureConnect', () => {
      isReported = true
      callback(null, socket)
    })
    socket.on('error', (error) => {
      // With an established session Node only emits the error, and then an end, since an alert ends
      // the session. In TLS 1.3 an alert may still reject the client's part of the handshake.
      if (isReported) return void socket.destroy(error)
      isReported = true
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

/** Records, when the socket reports its end, whether close_notify was missing. */
function watchEnd(socket: TLSSocket): void {
  const push = socket.push.bind(socket) as Socket['push']
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !socket.readableEnded && hasTcpEnded(socket)) cutOff.add(socket)
    return push(chunk, encoding)
  }
}

/** Valid only during the end's call. If the socket is not reading, the end was close_notify. */
function hasTcpEnded(socket: TLSSocket): boolean {
  const { _handle: handle } = socket as unknown as { readonly _handle: TlsHandle | null }
  const { _parent: tcp } = handle ?? {}
  if (tcp === undefined || handle?.reading !== true || tcp.readStart() !== 0) return false
  tcp.readStop()
  return true
}
