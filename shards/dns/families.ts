// Which address families the machine can use, and which one is tried first.
// Thread: shard. Memory: none.
// Never: sends anything, or omits an address.
// Why: getaddrinfo, as sockets call it, does not query addresses of families for which the machine
// has no address, and prefers IPv6 where it has one (RFC 6724).

import { isIPv6 } from 'node:net'
import os from 'node:os'

/** The families of which the machine has an address, other than loopback and link-local ones. */
export interface Families {
  readonly v4: boolean
  readonly v6: boolean
}

/** Reads the machine's interfaces as they are now. */
export function familiesOfMachine(): Families {
  let v4 = false
  let v6 = false
  for (const addresses of Object.values(os.networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) {
      if (internal || address.startsWith('fe80:')) continue
      if (family === 'IPv4') v4 = true
      else v6 = true
    }
  }
  return { v4, v6 }
}

/** Sorts addresses into the order in which to try them; stable within a family. */
export function ordered(addresses: readonly string[], { v4, v6 }: Families): string[] {
  const sixes = addresses.filter((each) => isIPv6(each))
  const fours = addresses.filter((each) => !isIPv6(each))
  return v6 || !v4 ? [...sixes, ...fours] : [...fours, ...sixes]
}
