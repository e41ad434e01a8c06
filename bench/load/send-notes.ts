// The sends that an upstream records: time and account of each, in arrays that grow.

import type { NotedSends } from './pace-check.ts'

const PLACES_AT_FIRST = 16_384
/** Further sends are only counted. */
const PLACES_MAX = 16_777_216

/** A list of sends. */
export class SendNotes implements NotedSends {
  timesUs = new Float64Array(PLACES_AT_FIRST)
  accounts = new Int32Array(PLACES_AT_FIRST)
  count = 0

  add(atUs: number, account: number): void {
    if (this.count === this.timesUs.length && !this.#grow()) return
    this.timesUs[this.count] = atUs
    this.accounts[this.count] = account
    this.count += 1
  }

  #grow(): boolean {
    const places = this.timesUs.length * 2
    if (places > PLACES_MAX) return false
    const { timesUs, accounts } = this
    this.timesUs = new Float64Array(places)
    this.timesUs.set(timesUs)
    this.accounts = new Int32Array(places)
    this.accounts.set(accounts)
    return true
  }
}
