// What stands for a client's address where addresses have shares.

const V4_BYTES = 4
const V6_BYTES = 16
/** Of an address of IPv6: a household or a host has at least this many bytes to itself. */
const V6_PREFIX_BYTES = 8
const V4_MAPPED = '00000000000000000000ffff'

/** 10.0.0.1 → '0a000001', ::ffff:10.0.0.1 likewise; of IPv6 the first 64 bits; '' for none. */
export function addressKey(address: ArrayBuffer): string {
  const text = Buffer.from(address).toString('hex')
  if (address.byteLength !== V6_BYTES) return text
  return text.startsWith(V4_MAPPED) ? text.slice(-2 * V4_BYTES) : text.slice(0, 2 * V6_PREFIX_BYTES)
}
