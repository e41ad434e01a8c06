// The text of the job that is being judged, in memory that WebAssembly works on. Jobs are judged
// one by one, so one text serves them all: to copy a body costs a third of making views of where
// it came.

import { assert } from '../../../shards/base/assert.ts'
import { alignUp } from '../../../shards/base/units.ts'
import { SHAPES_BYTES } from '../../base/limits.ts'
import { MODULE_BASE64 } from './module.ts'
import { Instance, Memory, Module, WASM_PAGE_BYTES } from './wasm.ts'

/** What scan.wat exports; it says what the parameters are. */
interface ScanFunctions {
  scan(
    length: number, keyGuess: number, bodyGuess: number, bodyAt: number, seed: number,
  ): number
  isAround(
    kept: number, from: number, to: number, secondFrom: number, secondTo: number, length: number,
  ): number
}

/** Where the text begins; before it is what belongs to scan.wat. */
const TEXT_AT = 320
const FOUND_WORDS = 16
/** Behind all that has a place here: blocks of sixteen bytes are read and written whole. */
const SLACK_BYTES = 32
const ALIGN_BYTES = 64

const code = new Module(Buffer.from(MODULE_BASE64, 'base64'))

/** A copy of the text that was taken last. Memory that is not used yet is none of the machine's. */
export class JobText {
  /** The text, and behind it what is left of longer ones. */
  readonly bytes: Buffer
  /** The same bytes. */
  readonly view: DataView
  /** Of the text. */
  length = 0
  /** What a scan has found: scan.wat's words. */
  readonly found: Int32Array
  /** Room for the body, as long as the text's. */
  readonly body: Buffer
  /** Where that begins in the memory. */
  readonly bodyAt: number
  /** Room for what is around holes: SHAPES_BYTES. */
  readonly kept: Buffer
  /** Where that begins in the memory. */
  readonly keptAt: number
  readonly functions: ScanFunctions

  /** @param bytesMax of a text. */
  constructor(bytesMax: number) {
    const roomBytes = alignUp(bytesMax + SLACK_BYTES, ALIGN_BYTES)
    this.bodyAt = TEXT_AT + roomBytes
    this.keptAt = this.bodyAt + roomBytes
    const bytes = this.keptAt + SHAPES_BYTES + SLACK_BYTES
    const memory = new Memory({ initial: Math.ceil(bytes / WASM_PAGE_BYTES) })
    const { exports } = new Instance(code, { text: { memory } })
    this.functions = exports as unknown as ScanFunctions
    const { buffer } = memory
    this.bytes = Buffer.from(buffer, TEXT_AT, roomBytes)
    this.view = new DataView(buffer, TEXT_AT, roomBytes)
    this.body = Buffer.from(buffer, this.bodyAt, roomBytes)
    this.kept = Buffer.from(buffer, this.keptAt, SHAPES_BYTES)
    this.found = new Int32Array(buffer, 0, FOUND_WORDS)
  }

  take(text: Uint8Array): void {
    assert(text.length + SLACK_BYTES <= this.bytes.length, 'a text is longer than its limit')
    this.bytes.set(text)
    this.length = text.length
  }

  /** The text alone. */
  whole(): Buffer {
    return this.bytes.subarray(0, this.length)
  }
}
