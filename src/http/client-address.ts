// The key of a client's address in the pool of sockets.

const V4_BYTES = 4
const V6_BYTES = 16
/** A /64 of IPv6, the least that a household or a host usually gets. */
const V6_PREFIX_BYTES = 8
const V4_MAPPED = '00000000000000000000ffff'

/** 10.0.0.1 → '0a000001', ::ffff:10.0.0.1 too; of IPv6 the first 64 bits; '' for no address. */
export function addressKey(address: ArrayBuffer): string {
  const text = Buffer.from(address).toString('hex')
  if (address.byteLength !== V6_BYTES) return text
  return text.startsWith(V4_MAPPED) ? text.slice(-2 * V4_BYTES) : text.slice(0, 2 * V6_PREFIX_BYTES)
}
