// TCP connections without TLS, and how one ended.
// Thread: shard. Memory: none. Never: knows of HTTP, or has a timeout.

import { readSync } from 'node:fs'
import type { LookupFunction, Socket } from 'node:net'
import type { buildConnector } from 'undici'
import { SOCKET_PROBE_MS } from '../memory/socket-limits.ts'
import { LeanSocket } from './lean-socket.ts'

/** The used part of Node's handle of a connection, which is undocumented. */
interface TcpHandle {
  /** Negative if there is none. */
  readonly fd: number
}

const ONE_BYTE = Buffer.alloc(1)

/**
 * Whether a socket that has ended was reset. If a reset arrives with the last bytes, libuv reports
 * an ordinary end; the next read of the descriptor still returns the error. At the end of a stream
 * a read does not block.
 */
export function wasReset(socket: Socket): boolean {
  const { _handle: handle } = socket as unknown as { readonly _handle: TcpHandle | null }
  if (handle === null || handle.fd < 0) return false
  try {
    readSync(handle.fd, ONE_BYTE)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNRESET'
  }
}

/** Opens one, as undici's own connector does for `http:`, but without a timeout. */
export function connectPlain(
  { hostname, port }: buildConnector.Options, callback: buildConnector.Callback,
  lookup: LookupFunction,
): Socket {
  const socket = new LeanSocket()
  socket.setNoDelay(true)
  socket.setKeepAlive(true, SOCKET_PROBE_MS)
  let isReported = false
  socket.once('connect', () => {
    isReported = true
    callback(null, socket)
  })
  socket.on('error', (error) => {
    if (isReported) return // undici listens itself
    isReported = true
    callback(error, null)
  })
  socket.connect({ host: hostname, port: port === '' ? 80 : Number(port), lookup })
  return socket
}
