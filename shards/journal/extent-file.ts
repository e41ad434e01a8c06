// The extent file records the end of a shard's tails. Nothing else shows that the newest tail was
// removed, or has lost whole batches at its end.
// Thread: shard writes; the compactor of its journal reads and rewrites it at a start. Memory: one
// record.
// Never: syncs to disk while the shard runs: after the end of the process the system still has the
// record; after a machine crash it is too low, or shows how much was lost.
//
//   0      8          16         24
//   | tail | sequence | accepted | CRC-32 of the fields before |     little-endian

import { closeSync, constants, fsyncSync, openSync, readFileSync, write, writeSync } from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { type Micros, msToUs } from '../base/units.ts'
import { JOURNAL_ACCEPTED, JOURNAL_SEQUENCE } from '../memory/journal-words.ts'
import { JOURNAL_EXTENT_MS } from '../memory/limits.ts'
import { EXTENT_FILE } from './tail-names.ts'

/** The last written batch, and its tail. */
export interface Extent {
  readonly tail: number
  readonly sequence: number
  /** New jobs in all batches up to that one. */
  readonly accepted: number
}

const CRC = 24
const EXTENT_BYTES = 28
const FILE_MODE = 0o600

/** The extent file of one shard, written at most every JOURNAL_EXTENT_MS. */
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

  /** Records the last batch, if it is a new one. @param tail the newest tail. */
  tick(tail: number, nowUs: Micros): void {
    if (this.#isWriting || nowUs < this.#nextUs || !this.#fill(tail)) return
    this.#nextUs = nowUs + msToUs(JOURNAL_EXTENT_MS)
    this.#isWriting = true
    // A failure is ignored: more writes follow, and only a later start's report depends on it.
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
      // The next start finds more than was recorded, which it does not report.
    }
    closeSync(this.#file)
  }

  /** Encodes the record; false if it is unchanged. */
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

/** Reads a folder's extent file; undefined if there is none, null if it is damaged. */
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

/** Writes and syncs the file; throws the system's error. */
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
