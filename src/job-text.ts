// The text of the job that is being judged. Jobs are judged one by one, so one buffer serves them
// all: copying a body costs less than making views of where it came.

const BYTES_MIN = 16 * 1024
/** Behind the text, so that whole words may be read up to its end. */
const SLACK_BYTES = 8
const QUOTE = 0x22

/** One job's bytes, valid until the next take(). */
export class JobText {
  /** The text and what is left behind it of longer ones; a quote follows the text at once. */
  bytes: Buffer = Buffer.allocUnsafeSlow(BYTES_MIN)
  /** Of the same bytes. */
  view: DataView = viewOf(this.bytes)
  length = 0

  /** Copies a text in. The room for it grows to the longest one so far: bodies are bounded. */
  take(text: Uint8Array): void {
    const { length } = text
    if (length + SLACK_BYTES > this.bytes.length) this.#grow(length + SLACK_BYTES)
    this.bytes.set(text)
    this.bytes[length] = QUOTE
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
