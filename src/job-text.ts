// The text of the job that is being judged. Jobs are judged one by one, so one buffer serves them
// all: to copy a body costs a third of making views of where it came.

const BYTES_MIN = 16 * 1024
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

  /** The room for it grows to the longest so far: bodies are bounded. */
  take(text: Uint8Array): void {
    const { length } = text
    if (length + SLACK_BYTES > this.bytes.length) this.#grow(length + SLACK_BYTES)
    this.bytes.set(text)
    this.length = length
  }

  /** The text alone. */
  whole(): Buffer {
    return this.bytes.subarray(0, this.length)
  }

  #grow(bytes: number): void {
    this.bytes = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes)))
    this.view = viewOf(this.bytes)
  }
}

const viewOf = ({ buffer, byteOffset, length }: Buffer): DataView =>
  new DataView(buffer, byteOffset, length)
