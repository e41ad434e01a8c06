// Resolves names by the machine's name servers, after its hosts file and with its search domains.
// Thread: shard. Memory: a c-ares channel for each concurrent look-up, reused by later ones.
// Never: makes one look-up wait for another, uses a thread of the pool, or sorts addresses.
//
// c-ares, which is part of Node, queries over sockets of the thread's own event loop, retransmits,
// falls back to the next server and to TCP, and reports each answer's TTL. In this mode it uses
// neither the hosts file nor search domains, and only a whole channel can be cancelled. So each
// look-up has its own channel, which also gives it its own source port.

import { Resolver as Channel, type RecordWithTtl } from 'node:dns'
import { assert } from '../base/assert.ts'
import type { Families } from './families.ts'
import type { NameFiles } from './name-files.ts'
import type { NameAnswer, NameSource } from './name-source.ts'
import { type ResolvConf, candidatesOf, withoutDot } from './resolv-conf.ts'

/** Options of a DnsSource. */
export interface DnsSourceOptions {
  readonly files: NameFiles
  /** Used instead of resolv.conf's servers, unless empty. */
  readonly servers: readonly string[]
  readonly families: () => Families
}

/** Addresses of localhost (RFC 6761), if the hosts file has none. */
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1']
const LOCALHOST = /^(.+\.)?localhost$/

/** The codes of c-ares that are answers; any other means that there was no answer. */
const NO_NAME: unknown = 'ENOTFOUND'
const NO_ADDRESS: unknown = 'ENODATA'
/** A name that cannot be queried. */
const BAD_NAME: unknown = 'EBADNAME'
/** The server could not answer; another server may be responsible for the next search domain. */
const SERVER_FAILED: unknown = 'ESERVFAIL'

/** Queries the name servers. */
export class DnsSource implements NameSource {
  readonly #options: DnsSourceOptions
  /** The configuration of the idle channels; channels of an older one are not reused. */
  #resolvConf: ResolvConf | undefined
  #idle: Channel[] = []

  constructor(options: DnsSourceOptions) {
    this.#options = options
  }

  known(name: string): readonly string[] | undefined {
    const plain = withoutDot(name)
    const listed = this.#options.files.hosts.get(plain)
    return listed ?? (LOCALHOST.test(plain) ? LOOPBACK : undefined)
  }

  ask(name: string, done: (answer: NameAnswer) => void): () => void {
    const { resolvConf } = this.#options.files
    if (resolvConf !== this.#resolvConf) this.#idle = []
    this.#resolvConf = resolvConf
    const channel = this.#idle.pop() ?? this.#channel(resolvConf)
    const end = (): void => {
      if (resolvConf === this.#resolvConf) this.#idle.push(channel)
    }
    const search = new Search(channel, candidatesOf(name, resolvConf), this.#options.families(),
      (answer) => {
        end()
        done(answer)
      })
    return () => {
      if (search.cancel()) end()
    }
  }

  #channel({ servers, timeoutMs, attempts }: ResolvConf): Channel {
    const channel = new Channel({ timeout: timeoutMs, maxTimeout: timeoutMs, tries: attempts })
    const given = this.#options.servers
    channel.setServers(given.length === 0 ? servers : given)
    return channel
  }
}

/** The results for one full name: addresses, or why there are none. */
interface Findings {
  readonly addresses: string[]
  ttlMs: number
  /** The codes of failed queries. */
  readonly codes: unknown[]
}

/** One look-up: tries one full name after the other, until one has an address. */
class Search {
  readonly #channel: Channel
  readonly #candidates: readonly string[]
  readonly #families: Families
  readonly #done: (answer: NameAnswer) => void
  #next = 0
  #hasName = false
  /** The first error code of a candidate without an answer. */
  #trouble: unknown
  #isOver = false

  constructor(
    channel: Channel, candidates: readonly string[], families: Families,
    done: (answer: NameAnswer) => void,
  ) {
    this.#channel = channel
    this.#candidates = candidates
    this.#families = families
    this.#done = done
    this.#askNext()
  }

  /** Cancels the look-up; false if it was over. */
  cancel(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    this.#channel.cancel()
    return true
  }

  #askNext(): void {
    const name = this.#candidates[this.#next++]
    if (name === undefined) return this.#end(this.#nothing())
    const { v4, v6 } = this.#families
    const both = v4 === v6 // neither: only the loopback is up, and either may work
    const findings: Findings = { addresses: [], ttlMs: Infinity, codes: [] }
    let left = both ? 2 : 1
    const receive = (error: NodeJS.ErrnoException | null, records: RecordWithTtl[]): void => {
      if (this.#isOver) return
      if (error !== null) findings.codes.push(error.code)
      else take(records, findings)
      left -= 1
      if (left === 0) this.#judge(findings)
    }
    if (both || v6) this.#channel.resolve6(name, { ttl: true }, receive)
    if (both || v4) this.#channel.resolve4(name, { ttl: true }, receive)
  }

  /** Like glibc, continues after a negative answer or a server failure, but not after a timeout. */
  #judge({ addresses, ttlMs, codes }: Findings): void {
    if (addresses.length > 0) return this.#end({ kind: 'found', addresses, ttlMs })
    if (codes.includes(NO_ADDRESS)) this.#hasName = true
    const trouble = codes.find((code) =>
      code !== NO_NAME && code !== NO_ADDRESS && code !== BAD_NAME)
    this.#trouble ??= trouble
    if (trouble === undefined || trouble === SERVER_FAILED) this.#askNext()
    else this.#end(this.#nothing())
  }

  #nothing(): NameAnswer {
    if (this.#trouble !== undefined) {
      return { kind: 'failed', detail: `no answer of a name server (${String(this.#trouble)})` }
    }
    return { kind: 'none', detail: this.#hasName ? 'the name has no address' : 'no such name' }
  }

  #end(answer: NameAnswer): void {
    assert(!this.#isOver, 'a look-up ends twice')
    this.#isOver = true
    this.#done(answer)
  }
}

function take(records: readonly RecordWithTtl[], findings: Findings): void {
  for (const { address, ttl } of records) {
    findings.addresses.push(address)
    findings.ttlMs = Math.min(findings.ttlMs, ttl * 1000)
  }
}
