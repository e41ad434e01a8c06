// A disk that takes each batch of a journal when the test says so.

import assert from 'node:assert/strict'
import type { JournalSink } from '../../shards/journal/journal.ts'
import type { EngineBench } from './engine-bench.ts'

/** Where a shard's batches wait for the test. */
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

  /** Ends the batch that is under way. */
  end(error: Error | null = null): void {
    const done = this.#done
    assert.ok(done !== undefined, 'nothing is being written')
    this.#done = undefined
    done(error)
  }

  /** Writes until nothing is left to be written. */
  writeAll(bench: EngineBench): void {
    while (this.isWriting) {
      this.end()
      bench.advance(1)
    }
  }
}
