// The text of the job that is being judged. Jobs are judged one by one, so one buffer serves them
// all: to copy a body costs a third of making views of where it came.

import { KIB, powerOfTwoAtLeast } from '../shards/units.ts'

const BYTES_MIN = 16 * KIB
/** Behind the text, so that its last bytes, and an end put behind them, are read as whole words. */
const SLACK_BYTES = 8

/** A copy of the text that was taken last. */
export class JobText {
  /** The text, and behind it what is left of longer ones. */
  bytes: Buffer = Buffer.allocUnsafeSlow(BYTES_MIN)
  /** The same bytes. */
  view: DataView = viewOf(this.bytes)
  /** Of the text. */
  length = 0

  take(text: Uint8Array): void {
    this.reserve(text.length)
    this.bytes.set(text)
    this.length = text.length
  }

  /** Makes room for a text of this length; it grows to the longest so far: bodies are bounded. */
  reserve(length: number): void {
    if (length + SLACK_BYTES <= this.bytes.length) return
    this.bytes = Buffer.allocUnsafeSlow(powerOfTwoAtLeast(length + SLACK_BYTES))
    this.view = viewOf(this.bytes)
  }

  /** The text alone. */
  whole(): Buffer {
    return this.bytes.subarray(0, this.length)
  }
}

const viewOf = ({ buffer, byteOffset, length }: Buffer): DataView =>
  new DataView(buffer, byteOffset, length)
