// The events of a run, one line each: printed on demand, and always hashed, so that two runs can be
// compared exactly. The last lines are kept for a failure's report.

import { createHash } from 'node:crypto'
import type { VirtualTime } from './virtual-time.ts'

const LINES_KEPT = 40
const LINES_PER_UPDATE = 512

/** The log of one run. */
export class EventLog {
  readonly #time: VirtualTime
  readonly #hash = createHash('sha256')
  readonly #print: ((line: string) => void) | undefined
  #pending: string[] = []
  #kept: string[] = []
  #count = 0

  /** @param print receives every line; without it, nothing is printed. */
  constructor(time: VirtualTime, print?: (line: string) => void) {
    this.#time = time
    this.#print = print
  }

  /** Lines so far. */
  get count(): number {
    return this.#count
  }

  add(text: string): void {
    const line = `${this.#time.nowUs()} ${text}`
    this.#count++
    this.#print?.(line)
    this.#pending.push(line)
    if (this.#pending.length >= LINES_PER_UPDATE) this.#fold()
  }

  /** The last lines, oldest first. */
  tail(): string[] {
    return [...this.#kept, ...this.#pending].slice(-LINES_KEPT)
  }

  /** Hexadecimal SHA-256 of all lines; nothing may be added after it. */
  digest(): string {
    this.#fold()
    return this.#hash.digest('hex')
  }

  #fold(): void {
    this.#hash.update(this.#pending.join('\n'))
    this.#kept = this.#pending.slice(-LINES_KEPT)
    this.#pending = []
  }
}
