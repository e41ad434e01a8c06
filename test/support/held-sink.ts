// A disk that completes each batch of a journal only when the test says so.

import assert from 'node:assert/strict'
import type { JournalSink } from '../../shards/journal/journal.ts'
import type { EngineBench } from './engine-bench.ts'

/** Holds a shard's batches until the test ends them. */
export class HeldSink implements JournalSink {
  readonly syncedUs = Infinity
  isLost = false
  #done: ((error: Error | null) => void) | undefined

  append(_bytes: Buffer, done: (error: Error | null) => void): void {
    assert.equal(this.#done, undefined, 'two batches at once')
    this.#done = done
  }

  tick(): void {}

  async close(): Promise<void> {}

  get isWriting(): boolean {
    return this.#done !== undefined
  }

  /** Ends the batch in progress. */
  end(error: Error | null = null): void {
    const done = this.#done
    assert.ok(done !== undefined, 'nothing is being written')
    this.#done = undefined
    done(error)
  }

  /** Writes until nothing is left. */
  writeAll(bench: EngineBench): void {
    while (this.isWriting) {
      this.end()
      bench.advance(1)
    }
  }
}
