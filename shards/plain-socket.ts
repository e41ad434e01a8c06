// TCP connections without TLS.
// Thread: shard. Memory: none. Never: knows of HTTP, or gives up by itself.

import type { LookupFunction, Socket } from 'node:net'
import type { buildConnector } from 'undici'
import { LeanSocket } from './lean-socket.ts'
import { SOCKET_PROBE_MS } from './socket-limits.ts'

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
