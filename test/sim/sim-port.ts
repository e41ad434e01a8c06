// The two ends of a channel between the old and the new thread of a shard, within one thread: a
// message arrives at once, as a copy. Messages that cross are left to tests with real threads.

import type { RelayPort } from '../../shards/transport/relayed-transport.ts'

type Listener = (message: object) => void

/** One end. */
export class SimPort implements RelayPort {
  readonly #listeners = new Map<string, Listener>()
  #other: SimPort | undefined

  /** Both ends of a new channel. */
  static pair(): [SimPort, SimPort] {
    const ends: [SimPort, SimPort] = [new SimPort(), new SimPort()]
    ends[0].#other = ends[1]
    ends[1].#other = ends[0]
    return ends
  }

  on(event: 'message' | 'close', listener: Listener): void {
    this.#listeners.set(event, listener)
  }

  postMessage(message: unknown): void {
    this.#other?.hear('message', structuredClone(message) as object)
  }

  hear(event: 'message' | 'close', message: object): void {
    this.#listeners.get(event)?.(message)
  }

  close(): void {
    const other = this.#other
    if (other === undefined) return
    this.#other = undefined
    other.#other = undefined
    other.hear('close', {})
  }
}
