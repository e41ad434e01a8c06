// The text of the job that is being judged, in memory that WebAssembly reads. Jobs are judged one
// by one, so one text serves them all: to copy a body costs a third of making views of where it
// came.

import { KIB, powerOfTwoAtLeast } from '../../shards/units.ts'
import { Memory, WASM_PAGE_BYTES, type WasmMemory } from './wasm.ts'

/** Where the text begins; before it is what belongs to scan.wat. */
const TEXT_AT = 320
const FOUND_WORDS = 16
/** Of the text at first. */
const BYTES_MIN = 16 * KIB
/** Behind the text, and behind the body: blocks of sixteen bytes are read and written whole. */
const SLACK_BYTES = 32

/** A copy of the text that was taken last. */
export class JobText {
  readonly memory: WasmMemory
  /** The text, and behind it what is left of longer ones. */
  bytes!: Buffer
  /** The same bytes. */
  view!: DataView
  /** Of the text. */
  length = 0
  /** What a scan has found: scan.wat's words. */
  found!: Int32Array
  /** Room for the body, as long as the text's. */
  body!: Buffer
  /** Where that begins in the memory. */
  bodyAt = 0
  #bytesMax = BYTES_MIN

  constructor() {
    this.memory = new Memory({ initial: pagesFor(BYTES_MIN) })
    this.#lay()
  }

  take(text: Uint8Array): void {
    if (text.length > this.#bytesMax) this.#grow(text.length)
    this.bytes.set(text)
    this.length = text.length
  }

  /** The text alone. */
  whole(): Buffer {
    return this.bytes.subarray(0, this.length)
  }

  /** It grows to the longest text so far: bodies are bounded. */
  #grow(length: number): void {
    const before = pagesFor(this.#bytesMax)
    this.#bytesMax = powerOfTwoAtLeast(length)
    this.memory.grow(pagesFor(this.#bytesMax) - before)
    this.#lay()
  }

  #lay(): void {
    const { buffer } = this.memory
    const bytes = this.#bytesMax + SLACK_BYTES
    this.bytes = Buffer.from(buffer, TEXT_AT, bytes)
    this.view = new DataView(buffer, TEXT_AT, bytes)
    this.bodyAt = TEXT_AT + bytes
    this.body = Buffer.from(buffer, this.bodyAt, bytes)
    this.found = new Int32Array(buffer, 0, FOUND_WORDS)
  }
}

const pagesFor = (textBytes: number): number =>
  Math.ceil((TEXT_AT + 2 * (textBytes + SLACK_BYTES)) / WASM_PAGE_BYTES)
