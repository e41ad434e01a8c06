// TCP connections without TLS, and how one ended.
// Thread: shard. Memory: none. Never: knows of HTTP, or gives up by itself.

import { readSync } from 'node:fs'
import type { LookupFunction, Socket } from 'node:net'
import type { buildConnector } from 'undici'
import { SOCKET_PROBE_MS } from '../memory/socket-limits.ts'
import { LeanSocket } from './lean-socket.ts'

/** What of Node's handle of a connection is used; it is not documented. */
interface TcpHandle {
  /** Less than 0 where the system has none. */
  readonly fd: number
}

const ONE_BYTE = Buffer.alloc(1)

/**
 * Whether a socket that has ended was reset. Where a reset comes with the last bytes, libuv tells
 * of it as of an end; the system still has the error, for whoever reads next. At an end a read
 * waits for nothing.
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

/** Opens one, as undici's own connector does for `http:`, but without a limit of time. */
export function connectPlain(
  { hostname, port }: buildConnector.Options, callback: buildConnector.Callback,
  lookup: { readonly lookup?: LookupFunction } = {},
): Socket {
  const socket = new LeanSocket()
  socket.setNoDelay(true)
  socket.setKeepAlive(true, SOCKET_PROBE_MS)
  let isTold = false
  socket.once('connect', () => {
    isTold = true
    callback(null, socket)
  })
  socket.on('error', (error) => {
    if (isTold) return // undici listens itself
    isTold = true
    callback(error, null)
  })
  socket.connect({ host: hostname, port: port === '' ? 80 : Number(port), ...lookup })
  return socket
}
