// Names as the machine's name servers know them, behind its hosts file and search domains.
// Thread: shard. Memory: a channel of c-ares for each look-up at once, kept for the next.
// Never: waits for one look-up with another, takes a thread of the pool, or sorts addresses.
//
// c-ares, which Node brings along, asks over sockets of the thread's own event loop, sends again,
// goes on to the next server and to TCP, and tells each answer's time to live. It knows neither
// hosts file nor search domains in that, and only a whole channel can be told to give up. So each
// look-up has a channel to itself, which then also draws a source port for it.

import { Resolver as Channel, type RecordWithTtl } from 'node:dns'
import { assert } from '../base/assert.ts'
import type { Families } from './families.ts'
import type { NameFiles } from './name-files.ts'
import type { NameAnswer, NameSource } from './name-source.ts'
import { type ResolvConf, candidatesOf, withoutDot } from './resolv-conf.ts'

/** What a DnsSource is made with. */
export interface DnsSourceOptions {
  readonly files: NameFiles
  /** Asked instead of those that resolv.conf names, unless it is empty. */
  readonly servers: readonly string[]
  readonly families: () => Families
}

/** By RFC 6761, where the hosts file says nothing of it. */
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1']
const LOCALHOST = /^(.+\.)?localhost$/

/** The codes of c-ares that are an answer; every other says that there was none. */
const NO_NAME: unknown = 'ENOTFOUND'
const NO_ADDRESS: unknown = 'ENODATA'
/** A name that cannot be asked for. */
const BAD_NAME: unknown = 'EBADNAME'
/** A server's word that it cannot say: the next search domain may be another's. */
const SERVER_FAILED: unknown = 'ESERVFAIL'

/** Asks the name servers. */
export class DnsSource implements NameSource {
  readonly #options: DnsSourceOptions
  /** Of channels that are made by it: others are not used again. */
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
      if (search.giveUp()) end()
    }
  }

  #channel({ servers, timeoutMs, attempts }: ResolvConf): Channel {
    const channel = new Channel({ timeout: timeoutMs, maxTimeout: timeoutMs, tries: attempts })
    const given = this.#options.servers
    channel.setServers(given.length === 0 ? servers : given)
    return channel
  }
}

/** What one name brought: nothing yet, addresses, or why there are none. */
interface Findings {
  readonly addresses: string[]
  ttlMs: number
  /** The code of whichever query failed; NO_NAME where both did. */
  readonly codes: unknown[]
}

/** One look-up: one full name after the other, until one has an address. */
class Search {
  readonly #channel: Channel
  readonly #candidates: readonly string[]
  readonly #families: Families
  readonly #done: (answer: NameAnswer) => void
  #next = 0
  #hasName = false
  /** The first code of a candidate that nobody could tell of. */
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

  /** Whether it was still under way. */
  giveUp(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    this.#channel.cancel()
    return true
  }

  #askNext(): void {
    const name = this.#candidates[this.#next++]
    if (name === undefined) return this.#end(this.#nothing())
    const { v4, v6 } = this.#families
    const both = v4 === v6 // neither: only the loopback is up, and may have either
    const findings: Findings = { addresses: [], ttlMs: Infinity, codes: [] }
    let left = both ? 2 : 1
    const hear = (error: NodeJS.ErrnoException | null, records: RecordWithTtl[]): void => {
      if (this.#isOver) return
      if (error !== null) findings.codes.push(error.code)
      else take(records, findings)
      left -= 1
      if (left === 0) this.#judge(findings)
    }
    if (both || v6) this.#channel.resolve6(name, { ttl: true }, hear)
    if (both || v4) this.#channel.resolve4(name, { ttl: true }, hear)
  }

  /** As glibc goes on: after "no" and after "cannot say", but not where nobody answers. */
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
