// The beginning of a response's body, gathered as it arrives, up to a limit.
// Thread: shard. Memory: one buffer per response in flight, that doubles as it fills.
// Never: keeps the chunks: they may be parts of a larger piece of memory, and a body that drips in
// byte by byte would cost hundreds of bytes each.
// A first chunk gets exactly its size, since most responses have only one; no buffer becomes larger
// than what the upstream has announced.

const EMPTY = new Uint8Array(0)
const CAPACITY_BYTES_MIN = 4096

/** Gathers one body. */
export class ResponseBody {
  #buffer: Uint8Array = EMPTY
  #length = 0
  /** What the upstream says that all of it is; it may say so of more than comes, or of less. */
  #announced = Infinity

  /** @param bytes a Content-Length; what is no number announces nothing. */
  announce(bytes: number): void {
    if (!Number.isNaN(bytes)) this.#announced = bytes
  }

  /** Adds a chunk, by copying it; false when not all of it was kept. */
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

  /** What has been gathered; valid for good once nothing more is added. */
  get bytes(): Uint8Array {
    const isFull = this.#length === this.#buffer.length
    return isFull ? this.#buffer : this.#buffer.subarray(0, this.#length)
  }

  /** The memory that it takes, in bytes. */
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
