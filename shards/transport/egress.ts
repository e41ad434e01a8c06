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

/**
 * The rule that refuses an address, by name: `metadata`, `link-local`, `upstreams_only`,
 * `not-an-address`, `deny 10.1.0.0/16` with the entry of the setting, or a range that is refused
 * where not all are open: `private 10.0.0.0/8`.
 */
export type EgressRule = string

/** The ranges of ipaddr.js that are open everywhere; those with an IPv4 address go by that. */
const PUBLIC: ReadonlySet<string> = new Set([
  'unicast', 'ipv4Mapped', 'rfc6145', 'rfc6052', '6to4', 'teredo',
])

/** The other ranges of ipaddr.js by our names; what is not here is reserved. */
const RANGES: Readonly<Record<string, string>> = {
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
  'fd00:c1::a9fe:a9fe', // Oracle Cloud
  'fd00:42::42', // Scaleway
  'fd00:a9fe:a9fe::1', // Akamai
]

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** The used part of an address of ipaddr.js that its types do not have. */
interface WithRanges {
  readonly SpecialRanges: Readonly<Record<string, [Address, number] | [Address, number][]>>
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => address.includes(':') ? 'ipv6' : 'ipv4'

const metadata = new BlockList()
for (const address of METADATA) metadata.addAddress(address, familyOf(address))

/** Prefixes of IPv6 addresses with an IPv4 address in them, and where it is. */
const CARRIERS: ReadonlyArray<readonly [prefix: string, at: readonly number[], flip?: number]> = [
  ['::ffff:0:0/96', [12, 13, 14, 15]], // IPv4-mapped
  ['::/96', [12, 13, 14, 15]], // IPv4-compatible
  ['::ffff:0:0:0/96', [12, 13, 14, 15]], // IPv4-translated (RFC 2765)
  ['64:ff9b::/96', [12, 13, 14, 15]], // NAT64 (RFC 6052)
  ['64:ff9b:1::/48', [12, 13, 14, 15]], // NAT64 for local use (RFC 8215), split at 96 bits,
  ['64:ff9b:1::/48', [6, 7, 9, 10]], // at 48,
  ['64:ff9b:1::/48', [7, 9, 10, 11]], // at 56,
  ['64:ff9b:1::/48', [9, 10, 11, 12]], // and at 64
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
const OPEN: EgressSettings = {
  allow: [], deny: [], named: [], isOpen: true, upstreamsOnly: false,
}

/** The rules of one shard. */
export class Egress {
  readonly #allow: Places
  readonly #deny: Places
  /** Hosts, some with a port, as URLs spell them. */
  readonly #named: ReadonlySet<string>
  readonly #isOpen: boolean
  readonly #upstreamsOnly: boolean

  constructor({ allow, deny, named, isOpen, upstreamsOnly }: EgressSettings = OPEN) {
    this.#allow = new Places(allow)
    this.#deny = new Places(deny)
    this.#named = new Set(named)
    this.#isOpen = isOpen
    this.#upstreamsOnly = upstreamsOnly
  }

  /** The rule that refuses a host before it is looked up, or a host that is an address. */
  judgeHost(host: string, port: number): EgressRule | undefined {
    if (isIP(host) !== 0) return this.judge(host, host, port)
    const name = nameOf(host)
    if (this.#upstreamsOnly && !this.#isNamed(name, port)) return 'upstreams_only'
    return denial(this.#deny.entryOfName(name))
  }

  /**
   * The rule that refuses an address, with or without a zone (`fe80::1%eth0`); else undefined.
   * @param host the name that it is an address of, or the address itself.
   */
  judge(address: string, host: string, port: number): EgressRule | undefined {
    const bare = address.replace(/%.*$/s, '')
    if (isIP(bare) === 0 || !ipaddr.isValid(bare)) return 'not-an-address'
    const parsed = ipaddr.parse(bare)
    // Lists get the text itself: ipaddr.js takes `::10.0.0.1` for `::ffff:10.0.0.1`.
    const all = [
      { text: bare, parsed, range: parsed.range() },
      ...carriedBy(parsed).map((each) =>
        ({ text: each.toString(), parsed: each, range: each.range() })),
    ]
    for (const { text, range } of all) {
      if (metadata.check(text, familyOf(text))) return 'metadata'
      if (range === 'linkLocal') return 'link-local'
    }
    const name = nameOf(host)
    const isNamed = this.#isNamed(name, port)
    if (this.#upstreamsOnly && !isNamed) return 'upstreams_only'
    for (const entry of [
      this.#deny.entryOfName(name), ...all.map(({ text }) => this.#deny.entryOf(text)),
    ]) if (entry !== undefined) return denial(entry)
    if (this.#isOpen || isNamed || this.#allow.entryOfName(name) !== undefined) return undefined
    if (this.#allow.entryOf(bare) !== undefined) return undefined
    const closed = all.find(({ text, range }) =>
      !PUBLIC.has(range) && this.#allow.entryOf(text) === undefined)
    if (closed !== undefined) return rangeRule(closed.parsed, closed.range)
    return isUnassigned(parsed) ? 'reserved' : undefined
  }

  #isNamed(name: string, port: number): boolean {
    const host = name.includes(':') ? `[${name}]` : name
    return this.#named.has(host) || this.#named.has(`${host}:${port}`)
  }
}

/** In lower case, without final dots. */
const nameOf = (host: string): string => host.toLowerCase().replace(/\.+$/, '')

const denial = (entry: string | undefined): EgressRule | undefined =>
  entry === undefined ? undefined : `deny ${entry}`

/** Of IPv6, only 2000::/3 and the special ranges are in use (RFC 4291, 2.4). */
const isUnassigned = (address: Address): boolean => address instanceof ipaddr.IPv6 &&
  address.range() === 'unicast' && ((address.parts[0] as number) & 0xe000) !== 0x2000

/** The name of a range, and the part of it that has the address. */
function rangeRule(address: Address, range: string): EgressRule {
  const parts = (address as unknown as WithRanges).SpecialRanges[range] ?? []
  const all = (Array.isArray(parts[0]) ? parts : [parts]) as [Address, number][]
  const part = all.find(([network, bits]) => address.match(network, bits))
  const name = RANGES[range] ?? 'reserved'
  return part === undefined ? name : `${name} ${part[0].toString()}/${part[1]}`
}

/** Addresses and names of a setting: `10.0.0.0/8`, `10.1.2.3`, `db.internal`, `*.internal`. */
class Places {
  readonly #addresses = new BlockList()
  /** The same, each in a list of its own. */
  readonly #ranges: { readonly entry: string; readonly list: BlockList }[] = []
  /** In lower case → the entry. */
  readonly #names = new Map<string, string>()
  /** With the dot in front. */
  readonly #domains: { readonly entry: string; readonly domain: string }[] = []

  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      if (isIP(entry.replace(/\/.*$/, '')) !== 0) {
        const list = new BlockList()
        for (const each of [list, this.#addresses]) addTo(each, entry)
        this.#ranges.push({ entry, list })
      } else if (entry.startsWith('*.')) {
        this.#domains.push({ entry, domain: entry.slice(1).toLowerCase() })
      } else this.#names.set(entry.toLowerCase(), entry)
    }
  }

  entryOf(address: string): string | undefined {
    const family = familyOf(address)
    if (!this.#addresses.check(address, family)) return undefined
    return this.#ranges.find(({ list }) => list.check(address, family))?.entry
  }

  /** @param name in lower case, without a final dot. */
  entryOfName(name: string): string | undefined {
    return this.#names.get(name) ??
      this.#domains.find(({ domain }) => name.endsWith(domain))?.entry
  }
}

function addTo(list: BlockList, entry: string): void {
  const [address = '', bits] = entry.split('/')
  if (bits === undefined) list.addAddress(address, familyOf(address))
  else list.addSubnet(address, Number(bits), familyOf(address))
}

/** The IPv4 addresses that an IPv6 address carries. */
function carriedBy(address: Address): ipaddr.IPv4[] {
  if (!(address instanceof ipaddr.IPv6)) return []
  const bytes = address.toByteArray()
  const carried = carriers
    .filter(({ network, bits }) => address.match(network, bits))
    .map(({ at, flip }) => new ipaddr.IPv4(at.map((each) => (bytes[each] as number) ^ flip)))
  const { parts } = address
  const isIsatap = ISATAP.some(([high, low]) => parts[4] === high && parts[5] === low)
  return isIsatap ? [...carried, new ipaddr.IPv4(bytes.slice(12))] : carried
}
