// What the n-th record of the two-thread ring test holds: all of it follows from n, so that the
// consumer can tell a lost, torn, repeated or misplaced record from the right one.

const LARGE_ONE_IN = 4096
const SMALL_BYTES_MAX = 200

/** Scrambles a number into 32 bits (murmur3's finaliser). */
function scramble(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

export const kindOf = (n: number): number => 1 + (n % 1000)

/** Mostly small, now and then up to the ring's longest. */
export function payloadBytesOf(n: number, payloadBytesMax: number): number {
  const drawn = scramble(n)
  if (drawn % LARGE_ONE_IN === 0) return scramble(drawn + 1) % (payloadBytesMax + 1)
  return scramble(drawn + 2) % (SMALL_BYTES_MAX + 1)
}

/** Fills whole words; the last one may reach into the record's alignment, which is its own. */
export function writePayload(u32: Uint32Array, offset: number, length: number, n: number): void {
  const base = scramble(n ^ 0x5bd1e995)
  const start = offset >>> 2
  const words = (length + 3) >>> 2
  for (let word = 0; word < words; word++) u32[start + word] = base + Math.imul(word, 0x9e3779b1)
}

/** Whether every byte is what writePayload() wrote. */
export function isPayload(u32: Uint32Array, offset: number, length: number, n: number): boolean {
  const base = scramble(n ^ 0x5bd1e995)
  const start = offset >>> 2
  const words = (length + 3) >>> 2
  for (let word = 0; word < words; word++) {
    if (u32[start + word] !== (base + Math.imul(word, 0x9e3779b1)) >>> 0) return false
  }
  return true
}

/** What both workers are given. */
export interface RingTask {
  readonly ring: SharedArrayBuffer
  readonly producerBell: SharedArrayBuffer
  readonly consumerBell: SharedArrayBuffer
  readonly records: number
  readonly seed: number
}

/** What the producer reports at its end. */
export interface ProducerReport {
  readonly written: number
  readonly bytes: number
  /** How often it slept because the ring was full. */
  readonly sleeps: number
  /** How often it waited until the consumer slept. */
  readonly lulls: number
}

/** What the consumer reports at its end. */
export interface ConsumerReport {
  readonly taken: number
  readonly bytes: number
  /** Records that were not the expected one, in number, kind, length or content. */
  readonly wrong: number
  readonly refused: number
  /** Sleeps that it has said, those included that found work at the last look. */
  readonly announced: number
  readonly sleeps: number
}
