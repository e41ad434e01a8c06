// Connections to host names: the look-up is let go with its socket, and moves are followed.
// Thread: shard. Memory: nothing but what it hands on.
// Never: opens a socket itself.

import { Socket, isIP } from 'node:net'
import type { buildConnector } from 'undici'
import { assert } from '../base/assert.ts'
import type { Names } from '../dns/names.ts'
import { withoutDot } from '../dns/resolv-conf.ts'

/**
 * Opens a socket; `moved` is called once if its host's name comes to lead elsewhere. `account` is
 * that of the attempt which it is opened for.
 */
export type Connect = (
  target: buildConnector.Options, callback: buildConnector.Callback, moved: () => void,
  account: number,
) => unknown

/**
 * Connects by `connect`, whose sockets must look up their hosts by `names.resolver.lookup`. A name
 * that ends in a dot is told to TLS without it (RFC 6066, 3).
 */
export function connectByName(
  names: Names | undefined, connect: buildConnector.connector,
): Connect {
  return (target, callback, moved, account) => {
    const { hostname } = target
    const named = hostname.endsWith('.') ? { ...target, servername: withoutDot(hostname) } : target
    if (names === undefined || isIP(hostname) !== 0) return connect(named, callback)
    names.resolver.expectFor(account)
    const socket: unknown = connect(named, (...result) => {
      callback(...result)
      const [error, connected] = result
      if (error === null) names.moves.follow(hostname, connected, moved)
    })
    assert(socket instanceof Socket, 'the connector keeps its socket to itself')
    const giveUp = names.resolver.takeGiveUp()
    if (giveUp !== undefined) socket.once('close', giveUp)
    return socket
  }
}
