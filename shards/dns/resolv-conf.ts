// Parses the files that configure name resolution: resolv.conf(5) and hosts(5).
// Thread: shard. Memory: none shared; the parsed contents.
// Never: opens a file, or queries a name server.

import { isIP } from 'node:net'

/** The contents of resolv.conf, with the manual page's defaults and maxima. */
export interface ResolvConf {
  /** Addresses, with a port where it is not 53; at least one. */
  readonly servers: readonly string[]
  /** Search domains, without trailing dots. */
  readonly search: readonly string[]
  /** ndots: a name with at least this many dots is first tried as it is. */
  readonly dots: number
  readonly timeoutMs: number
  /** How often each server is tried. */
  readonly attempts: number
}

/** Addresses by name, in lower case, in the file's order. */
export type HostsFile = ReadonlyMap<string, readonly string[]>

const SERVERS_MAX = 3
const SERVER_DEFAULT = '127.0.0.1'
const DOTS_DEFAULT = 1
const DOTS_MAX = 15
const TIMEOUT_S_DEFAULT = 5
const TIMEOUT_S_MAX = 30
const ATTEMPTS_DEFAULT = 2
const ATTEMPTS_MAX = 5

/**
 * Parses resolv.conf: 'search a.b c.d' → ['a.b', 'c.d'], 'options ndots:5' → 5. Of several `search`
 * or `domain` lines the last one counts; invalid lines are skipped.
 * @param hostname the machine's, whose domain is the default search domain.
 */
export function parseResolvConf(text: string, hostname: string): ResolvConf {
  const servers: string[] = []
  let search = domainOf(hostname)
  const options = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.replace(/[#;].*/, '').trim().split(/\s+/)
    if (keyword === 'nameserver' && isServer(values[0])) servers.push(values[0])
    else if (keyword === 'search') search = values.map(withoutDot).filter((each) => each !== '')
    else if (keyword === 'domain') search = values.slice(0, 1).map(withoutDot)
    else if (keyword === 'options') {
      for (const value of values) {
        const match = /^(ndots|timeout|attempts):(\d+)$/.exec(value)
        if (match !== null) options.set(match[1] as string, Number(match[2]))
      }
    }
  }
  return {
    servers: servers.length === 0 ? [SERVER_DEFAULT] : servers.slice(0, SERVERS_MAX),
    search,
    dots: Math.min(options.get('ndots') ?? DOTS_DEFAULT, DOTS_MAX),
    timeoutMs: 1000 * within(options.get('timeout') ?? TIMEOUT_S_DEFAULT, 1, TIMEOUT_S_MAX),
    attempts: within(options.get('attempts') ?? ATTEMPTS_DEFAULT, 1, ATTEMPTS_MAX),
  }
}

/** Parses a hosts file: '::1 localhost ip6-localhost' → localhost and ip6-localhost have ::1. */
export function parseHosts(text: string): HostsFile {
  const hosts = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (address === undefined || isIP(address) === 0) continue
    for (const each of names) {
      const name = withoutDot(each.toLowerCase())
      const addresses = hosts.get(name)
      if (addresses === undefined) hosts.set(name, [address])
      else if (!addresses.includes(address)) addresses.push(address)
    }
  }
  return hosts
}

/**
 * The full names to query, in order. With search [a.b] and ndots 1: 'x' → x.a.b, x;
 * 'x.y' → x.y, x.y.a.b; 'x.' → x. With ndots 5: 'x.y' → x.y.a.b, x.y.
 */
export function candidatesOf(name: string, { search, dots }: ResolvConf): string[] {
  if (name.endsWith('.')) return [withoutDot(name)]
  const searched = search.map((domain) => `${name}.${domain}`)
  return name.split('.').length > dots ? [name, ...searched] : [...searched, name]
}

/** 'example.com.' → 'example.com'; 'example.com' → 'example.com'. */
export const withoutDot = (name: string): string => name.endsWith('.') ? name.slice(0, -1) : name

function domainOf(hostname: string): string[] {
  const dot = hostname.indexOf('.')
  return dot < 0 ? [] : [withoutDot(hostname.slice(dot + 1))].filter((each) => each !== '')
}

/** Whether it is an address; a link-local one may have a zone: fe80::1%eth0. */
const isServer = (text: string | undefined): text is string =>
  text !== undefined && isIP(text) !== 0

const within = (value: number, min: number, max: number): number =>
  Math.min(max, Math.max(min, value))
