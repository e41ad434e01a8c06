// Which spellings of a host are one host by definition, so that an upstream has one budget under
// all of them. What only a look-up could tell (two names of one address) is no affair of this file.

/** The last 32 bits of an IPv4-mapped address (RFC 4291, 2.5.5.2), as a URL spells them. */
const IPV4_MAPPED = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/

/** Addresses that a connection takes for the loopback's (RFC 1122, 3.2.1.3; RFC 4291, 2.5.2). */
const LOOPBACK_OF = new Map([['0.0.0.0', '127.0.0.1'], ['[::]', '[::1]']])

/**
 * A host as it is connected to. 'localhost.' → 'localhost', '[::ffff:7f00:1]' → '127.0.0.1',
 * '0.0.0.0' → '127.0.0.1', '[::]' → '[::1]'; any other as it is.
 * @param hostname as WHATWG's parser spells it.
 */
export function plainHost(hostname: string): string {
  if (hostname === 'localhost.') return 'localhost'
  const mapped = hostname.startsWith('[') ? IPV4_MAPPED.exec(hostname) : null
  const host = mapped === null ? hostname
    : `${bytesOf(mapped[1] ?? '')}.${bytesOf(mapped[2] ?? '')}`
  return LOOPBACK_OF.get(host) ?? host
}

/** Two bytes in decimal: '7f00' → '127.0'. */
function bytesOf(digits: string): string {
  const word = Number.parseInt(digits, 16)
  return `${word >> 8}.${word & 0xff}`
}

/**
 * What a host is known by: as it is connected to, and a name without the dot that makes it
 * absolute: 'api.example.' → 'api.example'.
 */
export function hostIdentity(hostname: string): string {
  const host = plainHost(hostname)
  return host.length > 1 && host.endsWith('.') ? host.slice(0, -1) : host
}
