// Connections to hosts: judges an address in place of a name, cancels the look-up with its socket,
// and detects address changes.
// Thread: shard. Memory: none of its own.
// Never: opens a socket itself.

import { Socket, isIP } from 'node:net'
import type { buildConnector } from 'undici'
import { assert } from '../base/assert.ts'
import type { Names } from '../dns/names.ts'
import { withoutDot } from '../dns/resolv-conf.ts'
import type { Egress } from './egress.ts'
import { refusedSocket } from './judged-lookup.ts'

/**
 * Opens a socket. `moved` is called when its address is no longer one of its host's name. `account`
 * is that of the attempt for which it is opened.
 */
export type Connect = (
  target: buildConnector.Options, callback: buildConnector.Callback, moved: () => void,
  account: number,
) => unknown

/**
 * Connects by `connect`, whose sockets must resolve their hosts by a judged look-up, that of
 * `names.resolver` if there is one. The host itself, which may be an address that sockets do not
 * look up, is judged here. A name that ends in a dot is passed to TLS without it (RFC 6066, 3).
 */
export function connectByName(
  names: Names | undefined, egress: Egress, connect: buildConnector.connector,
): Connect {
  return (target, callback, moved, account) => {
    const { hostname } = target
    const refused = refusedSocket(hostname, callback, egress, portOf(target))
    if (refused !== undefined) return refused
    if (isIP(hostname) !== 0) return connect(target, callback)
    const named = hostname.endsWith('.') ? { ...target, servername: withoutDot(hostname) } : target
    if (names === undefined) return connect(named, callback)
    names.resolver.expectFor(account)
    const socket: unknown = connect(named, (...result) => {
      callback(...result)
      const [error, connected] = result
      if (error === null) names.moves.follow(hostname, connected, moved)
    })
    assert(socket instanceof Socket, 'the connector returned no socket')
    const cancel = names.resolver.takeGiveUp()
    if (cancel !== undefined) socket.once('close', cancel)
    return socket
  }
}

/** The port of a target, also where it is its protocol's own. */
export const portOf = ({ port, protocol }: buildConnector.Options): number =>
  port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)
