// A fake server for the client commands, in virtual time: connections that a test accepts, answers
// and cuts.

import { Prng } from '../../shards/base/prng.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import type {
  Ending, Link, Listener, ListType, ServerMessage,
} from '../../src/cli/client-socket.ts'
import type { ConnectionParts } from '../../src/cli/connection.ts'
import { VirtualTime } from './virtual-clock.ts'

/** A job as the client sends it. */
export interface SentJob {
  readonly ref: number
  readonly idempotent_key: string
  readonly watch: boolean
}

/** One connection. */
export class FakeLink implements Link {
  readonly window: number
  readonly itemBytesMax: number
  readonly #server: FakeServer
  readonly #listener: Listener
  isOpen = true

  constructor(server: FakeServer, listener: Listener) {
    this.#server = server
    this.#listener = listener
    this.window = server.window
    this.itemBytesMax = server.itemBytesMax
  }

  sendList(type: ListType, items: readonly string[]): void {
    // As over a network: no answer arrives before the client's call has returned.
    queueMicrotask(() => {
      if (!this.isOpen) return
      const values = items.map((item) => JSON.parse(item) as unknown)
      if (type === 'watch') this.#server.onWatch(this, values as string[])
      else this.#server.onJobs(this, values as SentJob[])
    })
  }

  close(): void {
    this.isOpen = false
  }

  tell(message: ServerMessage): void {
    if (this.isOpen) this.#listener.onMessage(message)
  }

  /** The server accepts, or refuses, jobs. */
  answer(entries: readonly object[]): void {
    this.tell({ type: 'accepted', jobs: entries })
  }

  cut(ending: Partial<Ending> = {}): void {
    this.isOpen = false
    this.#listener.onClose({
      reason: 'the connection broke', isGoodbye: false, isFinal: false, ...ending,
    })
  }
}

/** A server whose actions the test controls. */
export class FakeServer {
  readonly time = new VirtualTime()
  window = 4096
  itemBytesMax = 10_000
  /** Connections in the order of their opening. */
  readonly links: FakeLink[] = []
  /** The virtual time of each opening, in milliseconds. */
  readonly openedMs: number[] = []
  readonly said: string[] = []
  /** Why connections are refused, if they are. */
  closed: string | undefined
  /** Whether another attempt would be refused too. */
  isClosedForGood = false
  onJobs: (link: FakeLink, jobs: readonly SentJob[]) => void = (link, jobs) =>
    link.answer(jobs.map(({ idempotent_key: key, ref }) => ({ ref, job_id: `id-${key}` })))
  onWatch: (link: FakeLink, jobIds: readonly string[]) => void = () => {}

  /** @param seed of the client's random numbers. */
  parts(seed: number): ConnectionParts {
    const { time } = this
    return {
      shown: 'the server', prng: new Prng(seed), say: (text) => this.said.push(text),
      open: async (listener) => {
        this.openedMs.push(time.nowUs() / 1000)
        if (this.closed !== undefined) {
          return { reason: this.closed, isFinal: this.isClosedForGood }
        }
        const link = new FakeLink(this, listener)
        this.links.push(link)
        return link
      },
      pauses: {
        nowUs: () => time.nowUs(),
        after: (ms, run) => {
          const owner = {}
          time.at((time.nowUs() + msToUs(ms)) as Micros, run, owner)
          return () => time.cancel(owner)
        },
      },
    }
  }

  /** Advances time whenever nothing else happens, until `promise` settles. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isOver = false
    void promise.finally(() => { isOver = true })
    for (;;) {
      // Two iterations: the first may only have collected what the next one sends.
      for (let turn = 0; turn < 2; turn++) {
        await new Promise<void>((resolve) => { setImmediate(resolve) })
      }
      if (isOver) return promise
      this.time.step(Infinity as Micros)
    }
  }
}
