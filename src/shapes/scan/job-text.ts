// The text of the job that is being validated, in WebAssembly memory. Jobs are validated one by
// one, so one buffer serves them all: copying a body takes a third of the time of making typed
// arrays over the memory in which it arrived.

import { assert } from '../../../shards/base/assert.ts'
import { alignUp } from '../../../shards/base/units.ts'
import { SHAPES_BYTES } from '../../base/limits.ts'
import { MODULE_BASE64 } from './module.ts'
import { Instance, Memory, Module, WASM_PAGE_BYTES } from './wasm.ts'

/** The exports of scan.wat, which documents the parameters. */
interface ScanFunctions {
  scan(
    length: number, keyGuess: number, bodyGuess: number, bodyAt: number, seed: number,
  ): number
  isAround(
    kept: number, from: number, to: number, secondFrom: number, secondTo: number, length: number,
  ): number
}

/** Offset of the text; scan.wat's own data is before it. */
const TEXT_AT = 320
const FOUND_WORDS = 16
/** Behind each region: blocks of sixteen bytes are read and written whole. */
const SLACK_BYTES = 32
const ALIGN_BYTES = 64

const code = new Module(Buffer.from(MODULE_BASE64, 'base64'))

/** A copy of the current text. Pages that were never written take no memory of the machine. */
export class JobText {
  /** The text, and behind it remains of longer ones. */
  readonly bytes: Buffer
  /** The same bytes. */
  readonly view: DataView
  /** Length of the text. */
  length = 0
  /** The result of a scan: scan.wat's words. */
  readonly found: Int32Array
  /** Space for the unescaped body, as large as for the text. */
  readonly body: Buffer
  /** Its offset in the memory. */
  readonly bodyAt: number
  /** Space for the text around holes: SHAPES_BYTES. */
  readonly kept: Buffer
  /** Its offset in the memory. */
  readonly keptAt: number
  readonly functions: ScanFunctions

  /** @param bytesMax the longest text. */
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

  /** The text alone, without remains of others. */
  whole(): Buffer {
    return this.bytes.subarray(0, this.length)
  }
}
