// Reads a tail file: complete batches, in pieces of bounded size, and then how the file ends. A
// batch counts only with its last frame, so a file may end anywhere: no client was told of what is
// behind the last complete batch. But a complete batch behind a broken one is an error.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { KIB, MIB } from '../../shards/base/units.ts'
import { type Frame, type FrameHeader, readFrame, readHeader } from
  '../../shards/journal/journal-format.ts'

/** Target size of a piece; a larger batch is a piece of its own. */
const PIECE_BYTES = 16 * MIB
const READ_BYTES_MIN = 64 * KIB
/** Upper limit of a frame: a few rows, or one of a whole segment. */
const FRAME_BYTES_MAX = 16 * MIB
/** Alignment of frames. */
const ALIGN_BYTES = 8
/** The unit in which a file system keeps or loses bytes when the machine stops. */
const DISK_PAGE_BYTES = 4096
const HOLE_BYTES_MIN = 512

/** Consecutive complete batches. */
export interface Piece {
  readonly kind: 'piece'
  /** Contains the frames; valid until the next call of next(). */
  readonly bytes: Buffer
  readonly frames: readonly Frame[]
  /** Of the last batch in it. */
  readonly sequence: number
  readonly accepted: number
}

/** How a tail ends. */
export type TailEnd =
  /**
   * Normal: the last bytes may be an incomplete batch. If its header is readable: the count of new
   * jobs up to its end.
   */
  | { readonly kind: 'end'; readonly tornBytes: number; readonly tornAccepted: number | undefined }
  /** It begins later than its predecessor ended. */
  | { readonly kind: 'gap'; readonly sequence: number }
  /**
   * At this byte there is no frame, though complete ones follow. A hole is bytes that the system
   * had not written when the machine stopped: zeros up to the end of a page of the disk.
   */
  | { readonly kind: 'damage'; readonly at: number; readonly isHole: boolean }

/** Reads one tail. */
export class TailReader {
  readonly #file: number
  #size: number
  /** Batches up to this one are skipped. */
  readonly #skipUntil: number
  /** The last batch that was read or skipped; initially the last one before the tail. */
  #sequence: number
  #accepted = 0
  #isBegun = false
  /** Bytes that were read from the file and not passed on yet. */
  #bytes: Buffer
  #length = 0
  /** The file offset of #bytes. */
  #offset = 0
  /** Offsets in #bytes: the end of the last complete batch, and of the last frame after it. */
  #batchEnd = 0
  #frameEnd = 0
  #frames: Frame[] = []
  #unfinished: Frame[] = []

  /**
   * @param sequence the last known batch.
   * @param isKnown whether batches up to that one are skipped; if not, the tail may begin with that
   *   very batch again, and its version replaces the known one.
   */
  constructor(file: string, sequence: number, isKnown: boolean) {
    this.#file = openSync(file, 'r')
    this.#size = fstatSync(this.#file).size
    this.#sequence = sequence
    this.#skipUntil = isKnown ? sequence : -1
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(this.#size, PIECE_BYTES) + READ_BYTES_MIN)
  }

  /** Bytes of the file that were passed on or skipped. */
  get position(): number {
    return this.#offset + this.#batchEnd
  }

  /** The next piece, or how the file ends; throws the system's error if it cannot be read. */
  next(): Piece | TailEnd {
    for (;;) {
      this.#dropPassed()
      const isFull = this.#fill()
      if (this.#frames.length > 0) {
        return {
          kind: 'piece', bytes: this.#bytes, frames: this.#frames, sequence: this.#sequence,
          accepted: this.#accepted,
        }
      }
      if (!isFull) return this.#end()
    }
  }

  close(): void {
    closeSync(this.#file)
  }

  /** Reads batches up to the size of a piece; false when there are no more. */
  #fill(): boolean {
    while (this.#batchEnd < PIECE_BYTES) {
      const frame = readFrame(this.#bytes.subarray(0, this.#length), this.#frameEnd)
      if (frame !== undefined && this.#fits(frame)) this.#take(frame)
      else if (frame === undefined && this.#mayBeCutShort()) this.#read()
      else return false
    }
    return true
  }

  #take(frame: Frame): void {
    this.#unfinished.push(frame)
    this.#frameEnd = frame.end
    if (!frame.isLast) return
    this.#batchEnd = frame.end
    this.#isBegun = true
    this.#sequence = frame.sequence
    this.#accepted = frame.accepted
    if (frame.sequence > this.#skipUntil) this.#frames.push(...this.#unfinished)
    this.#unfinished.length = 0
  }

  /** Whether the frame may come next. */
  #fits({ sequence }: FrameHeader): boolean {
    const [first] = this.#unfinished
    if (first !== undefined) return sequence === first.sequence
    if (this.#isBegun) return sequence === this.#sequence + 1
    if (this.#skipUntil >= 0) return sequence <= this.#sequence + 1
    return sequence === this.#sequence || sequence === this.#sequence + 1
  }

  /** Whether there is no frame only because more of the file must be read. */
  #mayBeCutShort(): boolean {
    const isAll = this.#offset + this.#length === this.#size
    return !isAll && this.#length - this.#frameEnd < FRAME_BYTES_MAX
  }

  #read(): void {
    if (this.#bytes.length - this.#length < READ_BYTES_MIN) {
      const larger = Buffer.allocUnsafeSlow(2 * this.#bytes.length)
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    const wanted = Math.min(
      this.#bytes.length - this.#length, this.#size - this.#offset - this.#length)
    const read = readFully(this.#file, this.#bytes, this.#length, wanted,
      this.#offset + this.#length)
    this.#length += read
    if (read < wanted) this.#size = this.#offset + this.#length
  }

  #dropPassed(): void {
    this.#bytes.copy(this.#bytes, 0, this.#batchEnd, this.#length)
    this.#offset += this.#batchEnd
    this.#length -= this.#batchEnd
    this.#frameEnd = this.#batchEnd = 0
    this.#frames = []
    this.#unfinished = []
  }

  #end(): TailEnd {
    const bytes = this.#bytes.subarray(0, this.#length)
    const first = this.#isBegun ? undefined : readFrame(bytes, 0)
    if (first !== undefined && !this.#fits(first)) return { kind: 'gap', sequence: first.sequence }
    const begun = readHeader(bytes, this.#batchEnd)
    const isNext = begun !== undefined && this.#fits(begun)
    const torn: TailEnd = {
      kind: 'end', tornBytes: this.#size - this.position,
      tornAccepted: isNext ? begun.accepted : undefined,
    }
    const brokenAt = this.#offset + this.#frameEnd
    if (brokenAt === this.#size) return torn
    const claimed = readHeader(bytes, this.#frameEnd)
    if (claimed !== undefined && this.#offset + claimed.end > this.#size) return torn
    return this.#lookBehind(brokenAt) ?? torn
  }

  /**
   * Whether complete frames follow a broken one, of batches that were begun after the broken one
   * was written. Frames of the same batch may be left from a failed attempt.
   */
  #lookBehind(brokenAt: number): TailEnd | undefined {
    const rest = Buffer.allocUnsafeSlow(this.#size - brokenAt)
    const length = readFully(this.#file, rest, 0, rest.length, brokenAt)
    const bytes = rest.subarray(0, length)
    for (let at = 0; at < length; at += ALIGN_BYTES) {
      if (readHeader(bytes, at) === undefined) continue
      const frame = readFrame(bytes, at)
      if (frame === undefined || frame.sequence <= this.#sequence + 1) continue
      return { kind: 'damage', at: brokenAt, isHole: hasHole(bytes, at, brokenAt) }
    }
    return undefined
  }
}

/**
 * Whether the bytes up to `end` have a part that was never written: zeros up to the end of a page
 * of the disk, from the very first byte on, or so many that no batch has them. Data may look like
 * that by chance, but the caller also requires a stop of the machine. @param offset of bytes[0].
 */
function hasHole(bytes: Buffer, end: number, offset: number): boolean {
  const first = DISK_PAGE_BYTES - offset % DISK_PAGE_BYTES
  for (let pageEnd = first; pageEnd <= end; pageEnd += DISK_PAGE_BYTES) {
    let at = pageEnd
    while (at > 0 && bytes[at - 1] === 0) at--
    if (at === 0 ? pageEnd >= ALIGN_BYTES : pageEnd - at >= HOLE_BYTES_MIN) return true
  }
  return false
}

/** Reads until all is read or the file ends. @returns the bytes read. */
function readFully(
  file: number, bytes: Buffer, start: number, length: number, position: number,
): number {
  let read = 0
  while (read < length) {
    const count = readSync(file, bytes, start + read, length - read, position + read)
    if (count === 0) break
    read += count
  }
  return read
}
