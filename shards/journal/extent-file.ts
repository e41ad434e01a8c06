// How far a shard's tails reach, noted in a file beside them: a newest tail that was removed, or
// has lost whole batches at its end, leaves no other trace.
// Thread: shard notes, the compactor of its journal reads and renews it at a start. Memory: one
// note.
// Never: puts a note on the disk while the shard runs: the system keeps it over the end of a
// process, and by the end of the machine it says too little, or how much has been lost.
//
//   0      8          16         24
//   | tail | sequence | accepted | CRC-32 of what is before it |     little-endian

import { closeSync, constants, fsyncSync, openSync, readFileSync, write, writeSync } from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { type Micros, msToUs } from '../base/units.ts'
import { JOURNAL_ACCEPTED, JOURNAL_SEQUENCE } from '../memory/journal-words.ts'
import { JOURNAL_EXTENT_MS } from '../memory/limits.ts'
import { EXTENT_FILE } from './tail-names.ts'

/** The last batch that was written, and where. */
export interface Extent {
  readonly tail: number
  readonly sequence: number
  /** New jobs in all batches up to that one. */
  readonly accepted: number
}

const CRC = 24
const EXTENT_BYTES = 28
const FILE_MODE = 0o600

/** The note of one shard, at most every JOURNAL_EXTENT_MS. */
export class ExtentFile {
  readonly #file: number
  /** The shard's words about its journal. */
  readonly #words: Float64Array
  readonly #bytes = Buffer.alloc(EXTENT_BYTES)
  #sequence = 0
  #nextUs = -Infinity
  #isWriting = false
  #onWritten: () => void = () => {}

  constructor(directory: string, words: Float64Array) {
    this.#file = openExtent(directory)
    this.#words = words
  }

  /** Notes what has been written since, if anything. @param tail the newest. */
  tick(tail: number, nowUs: Micros): void {
    if (this.#isWriting || nowUs < this.#nextUs || !this.#fill(tail)) return
    this.#nextUs = nowUs + msToUs(JOURNAL_EXTENT_MS)
    this.#isWriting = true
    // One that fails is followed by others; nothing depends on it but a later start's words.
    write(this.#file, this.#bytes, 0, EXTENT_BYTES, 0, () => {
      this.#isWriting = false
      this.#onWritten()
    })
  }

  async close(tail: number): Promise<void> {
    if (this.#isWriting) await new Promise<void>((resolve) => { this.#onWritten = resolve })
    try {
      if (this.#fill(tail)) writeSync(this.#file, this.#bytes, 0, EXTENT_BYTES, 0)
    } catch {
      // The next start finds more than was noted, and says nothing of it.
    }
    closeSync(this.#file)
  }

  /** False when the last note says it already. */
  #fill(tail: number): boolean {
    const sequence = this.#words[JOURNAL_SEQUENCE] as number
    if (sequence === this.#sequence) return false
    this.#sequence = sequence
    writeRecord(this.#bytes, {
      tail, sequence, accepted: this.#words[JOURNAL_ACCEPTED] as number,
    })
    return true
  }
}

/** What is noted in a folder; undefined when nothing is, null when the note is damaged. */
export function readExtent(directory: string): Extent | null | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(path.join(directory, EXTENT_FILE))
  } catch {
    return undefined
  }
  if (bytes.length !== EXTENT_BYTES) return null
  if (bytes.readUInt32LE(CRC) !== crc32(bytes.subarray(0, CRC))) return null
  return {
    tail: bytes.readDoubleLE(0), sequence: bytes.readDoubleLE(8), accepted: bytes.readDoubleLE(16),
  }
}

/** Notes it and puts it on the disk; throws what the system says. */
export function writeExtent(directory: string, extent: Extent): void {
  const bytes = Buffer.alloc(EXTENT_BYTES)
  writeRecord(bytes, extent)
  const file = openExtent(directory)
  try {
    writeSync(file, bytes, 0, EXTENT_BYTES, 0)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

const openExtent = (directory: string): number => openSync(
  path.join(directory, EXTENT_FILE), constants.O_RDWR | constants.O_CREAT, FILE_MODE)

function writeRecord(bytes: Buffer, { accepted, sequence, tail }: Extent): void {
  bytes.writeDoubleLE(tail, 0)
  bytes.writeDoubleLE(sequence, 8)
  bytes.writeDoubleLE(accepted, 16)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC)), CRC)
}
