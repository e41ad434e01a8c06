// Which spellings of a host are the same host by definition, so that an upstream has one budget
// under all of them. Whether two names resolve to one address is out of scope.

/** The last 32 bits of an IPv4-mapped address (RFC 4291, 2.5.5.2), as a URL spells them. */
const IPV4_MAPPED = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/

/** Addresses that connect to the loopback address (RFC 1122, 3.2.1.3; RFC 4291, 2.5.2). */
const LOOPBACK_OF = new Map([['0.0.0.0', '127.0.0.1'], ['[::]', '[::1]']])

/**
 * The host to connect to. 'localhost.' → 'localhost', '[::ffff:7f00:1]' → '127.0.0.1',
 * '0.0.0.0' → '127.0.0.1', '[::]' → '[::1]'; any other is returned unchanged.
 * @param hostname as WHATWG's URL parser spells it.
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
 * The identity of a host: plainHost(), without the trailing dot that makes a name absolute:
 * 'api.example.' → 'api.example'.
 */
export function hostIdentity(hostname: string): string {
  const host = plainHost(hostname)
  return host.length > 1 && host.endsWith('.') ? host.slice(0, -1) : host
}
