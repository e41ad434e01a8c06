// Which addresses may be dialled: an address that no request may go to is refused by a rule.
// Thread: shard. Memory: none.
// Never: looks up a name, or opens a socket.
//
// An IPv6 address may carry an IPv4 address that a gateway, a relay or the kernel itself sends to
// in its place, so that one is judged as well. What is refused always comes first, then what the
// settings deny, then what they allow.

import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { EgressSettings } from '../wire/contract.ts'

/** What refuses an address; `not-an-address`: it cannot be read as one. */
export type EgressRule = 'metadata' | 'link-local' | 'not-an-address' | 'denied' | Range

/** The ranges that are refused where not all are open. */
type Range = 'private' | 'loopback' | 'cgnat' | 'multicast' | 'reserved'

/** The ranges of ipaddr.js that are open everywhere; those with an IPv4 address go by that. */
const PUBLIC: ReadonlySet<string> = new Set([
  'unicast', 'ipv4Mapped', 'rfc6145', 'rfc6052', '6to4', 'teredo',
])

/** The other ranges of ipaddr.js by our names; what is not here is reserved. */
const RANGES: Readonly<Record<string, Range>> = {
  private: 'private', uniqueLocal: 'private', deprecatedSiteLocal: 'private',
  loopback: 'loopback', unspecified: 'loopback', // the kernel takes 0.0.0.0 and :: for the loopback
  carrierGradeNat: 'cgnat', multicast: 'multicast',
}

/** Where clouds serve credentials and configuration to whoever asks from inside a machine. */
const METADATA: readonly string[] = [
  '169.254.169.254', // AWS, Azure, Google Cloud, DigitalOcean, OpenStack, Oracle and others
  '169.254.170.2', '169.254.170.23', // AWS: credentials of ECS tasks and EKS pods
  '100.100.100.200', // Alibaba Cloud
  '168.63.129.16', // Azure's wire server
  '192.0.0.192', // Oracle Cloud
  'fd00:ec2::254', 'fd00:ec2::23', // AWS
  'fd20:ce::254', // Google Cloud
]

const familyOf = (address: string): 'ipv4' | 'ipv6' => address.includes(':') ? 'ipv6' : 'ipv4'

const metadata = new BlockList()
for (const address of METADATA) metadata.addAddress(address, familyOf(address))

/** Prefixes of IPv6 addresses with an IPv4 address in them, and where it is. */
const CARRIERS: ReadonlyArray<readonly [prefix: string, at: readonly number[], flip?: number]> = [
  ['::ffff:0:0/96', [12, 13, 14, 15]], // IPv4-mapped
  ['::/96', [12, 13, 14, 15]], // IPv4-compatible
  ['::ffff:0:0:0/96', [12, 13, 14, 15]], // IPv4-translated (RFC 2765)
  ['64:ff9b::/96', [12, 13, 14, 15]], // NAT64 (RFC 6052)
  ['64:ff9b:1::/48', [12, 13, 14, 15]], // NAT64 for local use (RFC 8215), split at 96 bits
  ['64:ff9b:1::/48', [6, 7, 9, 10]], // and at 48
  ['2002::/16', [2, 3, 4, 5]], // 6to4 (RFC 3056)
  ['2001::/32', [4, 5, 6, 7]], // Teredo (RFC 4380): its server,
  ['2001::/32', [12, 13, 14, 15], 0xff], // and its client, inverted
]

const carriers = CARRIERS.map(([prefix, at, flip = 0]) => {
  const [network, bits] = ipaddr.IPv6.parseCIDR(prefix)
  return { network, bits, at, flip }
})

/** ISATAP (RFC 5214): the second half of the address begins so, and an IPv4 address follows. */
const ISATAP = [0x0000, 0x0200].map((first) => [first, 0x5efe])

/** Without settings, everything may be dialled but what is refused always. */
const OPEN: EgressSettings = { allow: [], deny: [], named: [], isOpen: true }

/** The rules of one shard. */
export class Egress {
  readonly #allow: Places
  readonly #deny: Places
  /** Hosts, some with a port, in lower case. */
  readonly #named: ReadonlySet<string>
  readonly #isOpen: boolean

  constructor({ allow, deny, named, isOpen }: EgressSettings = OPEN) {
    this.#allow = new Places(allow)
    this.#deny = new Places(deny)
    this.#named = new Set(named.map((each) => each.replaceAll(/[[\]]/g, '')))
    this.#isOpen = isOpen
  }

  /**
   * The rule that refuses an address, with or without a zone (`fe80::1%eth0`); else undefined.
   * @param host the name that it is an address of, or the address itself.
   */
  judge(address: string, host: string, port: number): EgressRule | undefined {
    const bare = address.replace(/%.*$/s, '')
    if (!ipaddr.IPv4.isValidFourPartDecimal(bare) && !ipaddr.IPv6.isValid(bare)) {
      return 'not-an-address'
    }
    const parsed = ipaddr.parse(bare)
    // Lists get the text itself: ipaddr.js takes `::10.0.0.1` for `::ffff:10.0.0.1`.
    const all = [
      { text: bare, range: parsed.range() },
      ...carriedBy(parsed).map((each) => ({ text: each.toString(), range: each.range() })),
    ]
    for (const { text, range } of all) {
      if (metadata.check(text, familyOf(text))) return 'metadata'
      if (range === 'linkLocal') return 'link-local'
    }
    const name = host.toLowerCase().replace(/\.$/, '')
    if (this.#deny.hasName(name) || all.some(({ text }) => this.#deny.has(text))) return 'denied'
    const isNamed = this.#named.has(name) || this.#named.has(`${name}:${port}`)
    if (this.#isOpen || isNamed || this.#allow.hasName(name) || this.#allow.has(bare)) {
      return undefined
    }
    const closed = all.find(({ text, range }) => !PUBLIC.has(range) && !this.#allow.has(text))
    return closed && (RANGES[closed.range] ?? 'reserved')
  }
}

/** Addresses and names of a setting: `10.0.0.0/8`, `10.1.2.3`, `db.internal`, `*.internal`. */
class Places {
  readonly #addresses = new BlockList()
  readonly #names = new Set<string>()
  /** With the dot in front. */
  readonly #domains: string[] = []

  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [address = '', bits] = entry.split('/')
      if (isIP(address) === 0) {
        if (entry.startsWith('*.')) this.#domains.push(entry.slice(1).toLowerCase())
        else this.#names.add(entry.toLowerCase())
      } else if (bits === undefined) this.#addresses.addAddress(address, familyOf(address))
      else this.#addresses.addSubnet(address, Number(bits), familyOf(address))
    }
  }

  has(address: string): boolean {
    return this.#addresses.check(address, familyOf(address))
  }

  /** @param name in lower case, without a final dot. */
  hasName(name: string): boolean {
    return this.#names.has(name) || this.#domains.some((domain) => name.endsWith(domain))
  }
}

/** The IPv4 addresses that an IPv6 address carries. */
function carriedBy(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4[] {
  if (!(address instanceof ipaddr.IPv6)) return []
  const bytes = address.toByteArray()
  const carried = carriers
    .filter(({ network, bits }) => address.match(network, bits))
    .map(({ at, flip }) => new ipaddr.IPv4(at.map((each) => (bytes[each] as number) ^ flip)))
  const { parts } = address
  const isIsatap = ISATAP.some(([high, low]) => parts[4] === high && parts[5] === low)
  return isIsatap ? [...carried, new ipaddr.IPv4(bytes.slice(12))] : carried
}
