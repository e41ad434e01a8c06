// Drops `100 Continue` before undici sees it: undici never requests one, and closes the connection
// when it receives one. RFC 9110, 15.2: a client must be able to parse interim responses that it
// does not expect, and discards a 100 that it did not request (15.2.1).
// Thread: shard. Memory: the partial head of one interim response, up to INTERIM_HEAD_BYTES_MAX.
// Never: changes a final response, or another interim one; both are passed through.
// A larger 1xx head that arrives in several chunks is passed through to undici, too.

import type { Socket } from 'node:net'
import { INTERIM_HEAD_BYTES_MAX, INTERIM_RESPONSES_MAX } from '../memory/socket-limits.ts'

const NOTHING = Buffer.alloc(0)
const VERSION = Buffer.from('HTTP/1.')
/** `HTTP/1.1 100`: where the status begins, and where it ends. */
const STATUS_AT = 9
const STATUS_END = 12
const DIGIT_ONE = 0x31
const HEAD_END = '\r\n\r\n'

/** Filters what a socket's reader gets, from the start of each response to its final head. */
export class ContinueFilter {
  /** The final head has not been seen yet. */
  #isAwaiting = false
  #interim = 0
  #held: Buffer = NOTHING

  /** Replaces the socket's read(), which returns filtered bytes from now on. */
  constructor(socket: Socket) {
    const read = socket.read.bind(socket) as (size?: number) => Buffer | null
    socket.read = (size?: number): Buffer | null => {
      let chunk = read(size)
      while (chunk !== null) {
        const passed = this.#isAwaiting ? this.#pass(chunk) : chunk
        if (passed.length > 0) return passed
        chunk = read(size)
      }
      return null
    }
  }

  /** A request is sent: its response comes next. */
  expect(): void {
    this.#isAwaiting = true
    this.#interim = 0
    this.#held = NOTHING
  }

  #pass(chunk: Buffer): Buffer {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = NOTHING
    let passed: Buffer = NOTHING
    for (;;) {
      if (!mayBeInterim(rest)) return this.#final(passed, rest)
      const end = rest.indexOf(HEAD_END, STATUS_END)
      if (end === -1) {
        if (rest.length > INTERIM_HEAD_BYTES_MAX) return this.#final(passed, rest)
        this.#held = rest
        return passed
      }
      if (++this.#interim > INTERIM_RESPONSES_MAX) return this.#final(passed, rest)
      const head = rest.subarray(0, end + HEAD_END.length)
      const isContinue = head.toString('latin1', STATUS_AT, STATUS_END) === '100'
      if (!isContinue) passed = joined(passed, head)
      rest = rest.subarray(head.length)
      if (rest.length === 0) return passed
    }
  }

  #final(passed: Buffer, rest: Buffer): Buffer {
    this.#isAwaiting = false
    return joined(passed, rest)
  }
}

/** Whether the bytes so far can be the start of a 1xx response. */
function mayBeInterim(head: Buffer): boolean {
  const common = Math.min(head.length, VERSION.length)
  if (VERSION.compare(head, 0, common, 0, common) !== 0) return false
  return head.length <= STATUS_AT || head[STATUS_AT] === DIGIT_ONE
}

const joined = (first: Buffer, second: Buffer): Buffer =>
  first.length === 0 ? second : Buffer.concat([first, second])
