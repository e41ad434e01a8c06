// Assembles a shard's name resolution from the settings.
// Thread: shard. Memory: that of its parts.
// Never: does anything after assembly, except closing.

import type { Clock } from '../base/clock.ts'
import type { ShardSettings } from '../wire/contract.ts'
import { DnsSource } from './dns-source.ts'
import { familiesOfMachine } from './families.ts'
import { Moves } from './moves.ts'
import { NameFiles } from './name-files.ts'
import { Resolver } from './resolver.ts'
import { SystemSource } from './system-source.ts'

const HOSTS_PATH = '/etc/hosts'
const RESOLV_CONF_PATH = '/etc/resolv.conf'

/** The parts that connections by name need. */
export interface Names {
  readonly resolver: Resolver
  readonly moves: Moves
  /** Cancels all look-ups. */
  close(): void
}

/** @param clock creates a clock; each part with a wake-up has its own. */
export function namesOf(
  { dns, dnsServers = [] }: Pick<ShardSettings, 'dns' | 'dnsServers'>, clock: () => Clock,
): Names {
  const families = familiesOfMachine
  const source = dns === 'system' ? new SystemSource() : new DnsSource({
    files: new NameFiles({
      hostsPath: HOSTS_PATH, resolvConfPath: RESOLV_CONF_PATH, clock: clock(),
    }),
    servers: dnsServers, families,
  })
  const resolver = new Resolver({ source, clock: clock(), families })
  return { resolver, moves: new Moves(resolver, clock()), close: () => resolver.close() }
}
