// Splits the bytes of a control connection into lines, and fails if one is too long.

const LINE_FEED = 0x0a

/** The lines of one connection. */
export class LineCutter {
  readonly #bytesMax: number
  #parts: Buffer[] = []
  #heldBytes = 0

  /** @param bytesMax of a line, without its end. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The lines that are complete, in order; undefined when one is too long. */
  push(chunk: Buffer): readonly string[] | undefined {
    const lines: string[] = []
    let from = 0
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      if (!this.#hold(chunk.subarray(from, end))) return undefined
      lines.push(Buffer.concat(this.#parts).toString())
      this.#parts = []
      this.#heldBytes = 0
      from = end + 1
    }
    return this.#hold(chunk.subarray(from)) ? lines : undefined
  }

  #hold(bytes: Buffer): boolean {
    this.#heldBytes += bytes.length
    if (this.#heldBytes > this.#bytesMax) return false
    if (bytes.length > 0) this.#parts.push(bytes)
    return true
  }
}
