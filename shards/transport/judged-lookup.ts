// Judges addresses before they are dialled: those of a look-up's answer, and those in a URL.
// Thread: shard. Memory: none.
// Never: looks up a name twice: the addresses that were judged are those that are dialled.

import { type LookupFunction, Socket } from 'node:net'
import type { buildConnector } from 'undici'
import type { Egress, EgressRule } from './egress.ts'

/** No address of the host may be dialled. Its message is the rule's name, as results show it. */
class RefusedAddressError extends Error {
  override readonly name = 'RefusedAddressError'
  readonly code = 'ADDRESS_REFUSED'
}

/** The same look-up without the addresses that are refused; it fails when none is left. */
export function judgedLookup(
  lookup: LookupFunction, egress: Egress, port: number,
): LookupFunction {
  // All addresses even where a socket wants one: the first one may be refused.
  return (name, options, callback) => lookup(name, { ...options, all: true }, (error, found) => {
    if (error !== null) return callback(error, [])
    const addresses = typeof found === 'string' ? [{ address: found, family: 0 }] : found
    let refusing: EgressRule | undefined
    const allowed = addresses.filter(({ address }) => {
      const rule = egress.judge(address, name, port)
      refusing ??= rule
      return rule === undefined
    })
    const [first] = allowed
    if (first === undefined && refusing !== undefined) {
      return callback(new RefusedAddressError(refusing), [])
    }
    if (options.all === true || first === undefined) callback(null, allowed)
    else callback(null, first.address, first.family)
  })
}

/** If the host may not be looked up, or the address be dialled, a socket that fails with that. */
export function refusedSocket(
  host: string, callback: buildConnector.Callback, egress: Egress, port: number,
): Socket | undefined {
  const rule = egress.judgeHost(host, port)
  if (rule === undefined) return undefined
  const socket = new Socket()
  socket.once('error', (error) => callback(error, null))
  return socket.destroy(new RefusedAddressError(rule))
}
