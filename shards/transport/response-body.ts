// Collects the beginning of a response's body, up to a limit.
// Thread: shard. Memory: one buffer per response in flight, which doubles as it fills.
// Never: keeps the chunks: they may be views of larger buffers, and a body that arrives byte by
// byte would cost hundreds of bytes each.
// The first chunk gets a buffer of exactly its size, since most responses have only one. A buffer
// does not grow beyond the Content-Length, unless more bytes arrive.

const EMPTY = new Uint8Array(0)
const CAPACITY_BYTES_MIN = 4096

/** Collects one body. */
export class ResponseBody {
  #buffer: Uint8Array = EMPTY
  #length = 0
  /** The body's Content-Length, which may differ from the bytes that arrive. */
  #announced = Infinity

  /** Sets the Content-Length; NaN is ignored. */
  announce(bytes: number): void {
    if (!Number.isNaN(bytes)) this.#announced = bytes
  }

  /** Adds a copy of a chunk; false when not all of it fit. */
  append(chunk: Uint8Array, bytesMax: number): boolean {
    const fits = this.#length + chunk.length <= bytesMax
    const kept = fits ? chunk : chunk.subarray(0, bytesMax - this.#length)
    if (this.#length === 0) {
      this.#buffer = new Uint8Array(kept)
    } else {
      this.#reserve(this.#length + kept.length, bytesMax)
      this.#buffer.set(kept, this.#length)
    }
    this.#length += kept.length
    return fits
  }

  /** The bytes collected; stays valid once nothing more is added. */
  get bytes(): Uint8Array {
    const isFull = this.#length === this.#buffer.length
    return isFull ? this.#buffer : this.#buffer.subarray(0, this.#length)
  }

  /** The size of the buffer, in bytes. */
  get heldBytes(): number {
    return this.#buffer.length
  }

  #reserve(bytes: number, bytesMax: number): void {
    if (bytes <= this.#buffer.length) return
    const doubled = Math.max(CAPACITY_BYTES_MIN, 2 * bytes)
    const capacity = Math.min(bytesMax, doubled, Math.max(bytes, this.#announced))
    const larger = new Uint8Array(capacity)
    larger.set(this.bytes)
    this.#buffer = larger
  }
}
