// Answers to a socket's jobs, collected in one `accepted` message. It is encoded by hand, since
// there is an entry for each job. The entry of an accepted job is {ref, job_id}; any other entry is
// passed as an object.

import { encodeValue } from '../../shards/wire/codec.ts'
import { JOB_ID_DIGITS, writeJobId } from '../../shards/wire/job-id.ts'
import { ANSWERS_BYTES_MAX } from '../base/limits.ts'
import type { Ref, Ticket } from '../job/asker.ts'

// {"type":"accepted","jobs":[ … ]}
const JSON_HEAD = Buffer.from('{"type":"accepted","jobs":[')
const JSON_TAIL = Buffer.from(']}')
const JSON_REF = Buffer.from('{"ref":')
const JSON_JOB_ID = Buffer.from(',"job_id":"')
const JSON_END = Buffer.from('"}')
const COMMA = 0x2c

const FIX_STR = 0xa0
const MAP_OF_TWO = 0x82
const ARRAY_16 = 0xdc
const STR_8 = 0xd9
const UINT_8 = 0xcc
const UINT_16 = 0xcd
const UINT_32 = 0xce
const FLOAT_64 = 0xcb

const packedText = (text: string): number[] => [FIX_STR + text.length, ...Buffer.from(text)]

/** The same in MessagePack; the array's length, two bytes, is written last. */
const PACKED_HEAD = Buffer.from([
  MAP_OF_TWO, ...packedText('type'), ...packedText('accepted'), ...packedText('jobs'),
  ARRAY_16, 0, 0,
])
const PACKED_REF = Buffer.from([MAP_OF_TWO, ...packedText('ref')])
const PACKED_JOB_ID = Buffer.from([...packedText('job_id'), FIX_STR + JOB_ID_DIGITS])

/** Upper limit of the entry of an accepted job: a ref of escapes, and the fixed parts. */
const ENTRY_BYTES_MAX = 512
const COUNT_MAX = 0xffff
const BUFFERS_KEPT_MAX = 256

/** The answers of one socket, in the format of its last frame. */
export class Answers {
  readonly isBinary: boolean
  readonly #bytes: Buffer
  readonly #spare: Buffer[]
  #at = 0
  #count = 0

  /** @param spare a pool of buffers; giveBack() returns one to it. */
  constructor(isBinary: boolean, spare: Buffer[]) {
    this.isBinary = isBinary
    this.#spare = spare
    this.#bytes = spare.pop() ?? Buffer.allocUnsafeSlow(ANSWERS_BYTES_MAX)
    this.#copy(isBinary ? PACKED_HEAD : JSON_HEAD)
  }

  /** Whether there may be no room for another entry. */
  get isFull(): boolean {
    return this.#at + ENTRY_BYTES_MAX > ANSWERS_BYTES_MAX || this.#count === COUNT_MAX
  }

  /** Adds the entry of an accepted job; only while not full. */
  accept({ ref, route, idHigh, idLow }: Ticket): void {
    this.#count++
    if (this.isBinary) {
      this.#copy(PACKED_REF)
      this.#packRef(ref)
      this.#copy(PACKED_JOB_ID)
      this.#id(route, idHigh, idLow)
      return
    }
    if (this.#count > 1) this.#bytes[this.#at++] = COMMA
    this.#copy(JSON_REF)
    this.#at += this.#bytes.write(JSON.stringify(ref), this.#at)
    this.#copy(JSON_JOB_ID)
    this.#id(route, idHigh, idLow)
    this.#copy(JSON_END)
  }

  /** Adds any other entry; false when there is no room for it. */
  add(entry: object): boolean {
    const bytes = this.isBinary ? encodeValue(entry) : Buffer.from(JSON.stringify(entry))
    // The end of the message must fit too.
    if (this.#at + bytes.length + 8 > ANSWERS_BYTES_MAX || this.#count === COUNT_MAX) return false
    this.#count++
    if (!this.isBinary && this.#count > 1) this.#bytes[this.#at++] = COMMA
    this.#copy(bytes)
    return true
  }

  /** The complete message; valid until giveBack(). */
  finish(): Uint8Array {
    if (this.isBinary) this.#bytes.writeUInt16BE(this.#count, PACKED_HEAD.length - 2)
    else this.#copy(JSON_TAIL)
    return this.#bytes.subarray(0, this.#at)
  }

  /** Returns the buffer; the message must not be used any more. */
  giveBack(): void {
    if (this.#spare.length < BUFFERS_KEPT_MAX) this.#spare.push(this.#bytes)
  }

  #copy(bytes: Uint8Array): void {
    // For short runs, a loop costs less than a call of a built-in.
    if (bytes.length > 64) {
      this.#bytes.set(bytes, this.#at)
      this.#at += bytes.length
      return
    }
    for (let at = 0; at < bytes.length; at++) this.#bytes[this.#at++] = bytes[at] as number
  }

  #id(route: number, idHigh: number, idLow: number): void {
    writeJobId(this.#bytes, this.#at, route, idHigh, idLow)
    this.#at += JOB_ID_DIGITS
  }

  #packRef(ref: Ref): void {
    const bytes = this.#bytes
    if (typeof ref === 'string') {
      const length = bytes.write(ref, this.#at + 2)
      bytes[this.#at] = STR_8
      bytes[this.#at + 1] = length
      this.#at += 2 + length
    } else if (ref < 0x80) {
      bytes[this.#at++] = ref
    } else if (ref <= 0xff) {
      bytes[this.#at++] = UINT_8
      bytes[this.#at++] = ref
    } else if (ref <= 0xffff) {
      bytes[this.#at++] = UINT_16
      bytes[this.#at++] = ref >>> 8
      bytes[this.#at++] = ref
    } else if (ref <= 0xffffffff) {
      bytes[this.#at++] = UINT_32
      for (let shift = 24; shift >= 0; shift -= 8) bytes[this.#at++] = ref >>> shift
    } else {
      bytes[this.#at] = FLOAT_64
      bytes.writeDoubleBE(ref, this.#at + 1)
      this.#at += 9
    }
  }
}

/** An answer that is too long for a collected message, as a message of its own. */
export const loneAnswer = (entry: object): object => ({ type: 'accepted', jobs: [entry] })
