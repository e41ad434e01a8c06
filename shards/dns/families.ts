// Which families of addresses a machine can use, and which of them goes first.
// Thread: shard. Memory: none.
// Never: sends anything, or leaves an address out.
// Why: getaddrinfo, as sockets ask it, does not look for addresses that the machine has no route
// for, and tries IPv6 first where it has one (RFC 6724).

import { isIPv6 } from 'node:net'
import os from 'node:os'

/** What the machine has an address of, other than the loopback's and those local to a link. */
export interface Families {
  readonly v4: boolean
  readonly v6: boolean
}

/** As the machine's interfaces are now. */
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

/** The addresses in the order in which they are to be tried; within a family, as they are. */
export function ordered(addresses: readonly string[], { v4, v6 }: Families): string[] {
  const sixes = addresses.filter((each) => isIPv6(each))
  const fours = addresses.filter((each) => !isIPv6(each))
  return v6 || !v4 ? [...sixes, ...fours] : [...fours, ...sixes]
}
