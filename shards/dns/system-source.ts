// Resolves names by the system: whatever nsswitch.conf has, including mDNS and LDAP.
// Thread: shard, and one of libuv's pool for each look-up. Memory: one entry per waiting name.
// Never: uses so many of those threads that none is left for the journal, or cancels a running
// look-up: getaddrinfo cannot be cancelled. So names wait for each other here.

import { ADDRCONFIG, type LookupAddress, lookup } from 'node:dns'
import { NAME_TTL_MS_SYSTEM, SYSTEM_LOOKUPS_MAX } from '../memory/name-limits.ts'
import type { NameAnswer, NameSource } from './name-source.ts'

/** A requested name. */
interface Question {
  readonly name: string
  readonly done: (answer: NameAnswer) => void
  isCancelled: boolean
}

/** Queries the system. */
export class SystemSource implements NameSource {
  readonly #lookup: typeof lookup
  readonly #waiting = new Set<Question>()
  #running = 0

  constructor(ask: typeof lookup = lookup) {
    this.#lookup = ask
  }

  known(): undefined {
    return undefined
  }

  ask(name: string, done: (answer: NameAnswer) => void): () => void {
    const question: Question = { name, done, isCancelled: false }
    this.#waiting.add(question)
    this.#begin()
    return () => {
      question.isCancelled = true
      this.#waiting.delete(question)
    }
  }

  #begin(): void {
    for (const question of this.#waiting) {
      if (this.#running === SYSTEM_LOOKUPS_MAX) return
      this.#waiting.delete(question)
      this.#running += 1
      this.#lookup(question.name, { all: true, hints: ADDRCONFIG }, (error, found) => {
        this.#running -= 1
        this.#begin()
        if (question.isCancelled) return
        question.done(error === null ? answerOf(found) : failureOf(error))
      })
    }
  }
}

const answerOf = (found: readonly LookupAddress[]): NameAnswer => ({
  kind: 'found', addresses: found.map(({ address }) => address), ttlMs: NAME_TTL_MS_SYSTEM,
})

const failureOf = ({ code }: NodeJS.ErrnoException): NameAnswer => code === 'ENOTFOUND'
  ? { kind: 'none', detail: 'no such name' }
  : { kind: 'failed', detail: `no answer of the system (${String(code)})` }
