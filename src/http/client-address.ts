// The address of the client that sent a request, and its key in the pool of sockets.
//
// Behind proxies, the connection's address is that of the last proxy, and headers name the others:
// `Forwarded` (RFC 7239) or `X-Forwarded-For`, to which each proxy appends the address that it saw.
// Whatever stands left of what a trusted proxy has appended may be the client's own invention, so
// the addresses are read from the right, for as long as the one before is a trusted proxy's. What
// is no address (a hidden or unknown one, or a fault) ends that at the last one that was good.

import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { HttpRequest } from './uws.ts'

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

/** `10.0.0.1`, `2001:db8::1`; an IPv4-mapped address as the IPv4 address; '' for no address. */
export function showAddress(address: ArrayBuffer): string {
  const { byteLength } = address
  if (byteLength !== V4_BYTES && byteLength !== V6_BYTES) return ''
  return ipaddr.process(ipaddr.fromByteArray([...new Uint8Array(address)]).toString()).toString()
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => address.includes(':') ? 'ipv6' : 'ipv4'

/** Finds the clients' addresses. */
export class ClientAddresses {
  /** Undefined: none. */
  readonly #trusted: BlockList | undefined

  /** @param trusted addresses and ranges of proxies that are believed. */
  constructor(trusted: readonly string[]) {
    if (trusted.length === 0) return
    this.#trusted = new BlockList()
    for (const entry of trusted) {
      const [address = '', bits] = entry.split('/')
      if (bits === undefined) this.#trusted.addAddress(address, familyOf(address))
      else this.#trusted.addSubnet(address, Number(bits), familyOf(address))
    }
  }

  /**
   * The address of the client: 4 or 16 bytes.
   * @param remote the address at the other end of the connection.
   */
  of(remote: ArrayBuffer, request: HttpRequest): ArrayBuffer {
    if (this.#trusted === undefined) return remote
    const proxy = showAddress(remote)
    if (!this.#isTrusted(proxy)) return remote
    const named: string[] = []
    const plain: string[] = []
    request.forEach((name, value) => {
      if (name === 'forwarded') named.push(...forwardedHops(value))
      else if (name === 'x-forwarded-for') plain.push(...value.split(',').map(addressOf))
    })
    const one = this.#client(proxy, named.length > 0 ? named : plain)
    // A proxy that writes one header passes the other one on as the client has sent it, and which
    // it writes is not known here: if they differ, neither is believed.
    const isClear = named.length === 0 || plain.length === 0 || one === this.#client(proxy, plain)
    return isClear ? bytesOf(one) : remote
  }

  /** @param hops from left to right; '' for what is no address. */
  #client(proxy: string, hops: readonly string[]): string {
    let client = proxy
    for (let at = hops.length - 1; at >= 0 && this.#isTrusted(client); at--) {
      if (hops[at] === '') break
      client = hops[at] as string
    }
    return client
  }

  #isTrusted(address: string): boolean {
    return address !== '' && this.#trusted?.check(address, familyOf(address)) === true
  }
}

const bytesOf = (address: string): ArrayBuffer =>
  Uint8Array.from(ipaddr.parse(address).toByteArray()).buffer

/** `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. */
const NODE = /^(?:\[([^\]]*)\](?::\w+)?|([\d.]+):[\w.-]+|([\d.]+|[\da-f:.]+))$/i

/** The address that a proxy has written, in its usual form; '' for anything else. */
function addressOf(text: string): string {
  const [, bracketed, withPort, bare] = NODE.exec(text.trim()) ?? []
  const address = bracketed ?? withPort ?? bare ?? ''
  const family = isIP(address)
  const isFitting = bracketed === undefined ? family !== 0 : family === 6
  return isFitting && !address.includes('%') ? ipaddr.process(address).toString() : ''
}

/** A token of RFC 7239; a value may have what an address with a port needs, though unquoted. */
const NAME = /([\w!#$%&'*+.^`|~-]+)=/
const VALUE = /([\w!#$%&'*+.^`|~:[\]-]+)|"((?:[^"\\]|\\.)*)"/
/** One `name=value`, or nothing, with what follows it. */
const PAIR = new RegExp(`[ \\t]*(?:${NAME.source}(?:${VALUE.source})[ \\t]*)?([;,]|$)`, 'y')

/**
 * The addresses of a `Forwarded` header, one for each element; '' for what is no address. A value
 * that breaks the grammar is one such element: where a quote is left open, the elements behind it
 * cannot be told from text of the client.
 */
function forwardedHops(value: string): string[] {
  const hops: string[] = []
  let hop: string | undefined
  PAIR.lastIndex = 0
  for (;;) {
    const [all, name, token, quoted, end] = PAIR.exec(value) ?? []
    if (all === undefined) return ['']
    if (name?.toLowerCase() === 'for') {
      if (hop !== undefined) return ['']
      hop = addressOf(token ?? quoted?.replaceAll(/\\(.)/g, '$1') ?? '')
    }
    if (end === ';') continue
    hops.push(hop ?? '')
    hop = undefined
    if (end === '') return hops
  }
}
