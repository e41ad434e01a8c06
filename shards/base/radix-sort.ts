// Sorts millions of slots by a numeric key, as recovery must: no comparisons, no objects.
// Thread: any. Memory: twice the input, for the duration of a call.
// Never: keeps state; reorders items of equal keys (the sort is stable).
// Source: least significant digit radix sort (Knuth, TAOCP 3, 5.2.5), eleven bits at a time. A
// digit that all keys share costs one counting pass only, so small ranges move items once or twice.

const DIGIT_BITS = 11
const DIGITS = 2 ** DIGIT_BITS
const DIGIT_MASK = DIGITS - 1
const KEY_BITS = 32

/** Items and their keys, both uint32: keys[i] is the key of items[i]. */
export interface Keyed {
  readonly items: Uint32Array
  readonly keys: Uint32Array
}

/**
 * The first `count` items in the order of their keys. Overwrites its input.
 * @param shift low bits of the keys to ignore: with 21, one pass groups nearby keys.
 */
export function radixSort({ items, keys }: Keyed, count: number, shift = 0): Keyed {
  let fromItems: Uint32Array = items.subarray(0, count)
  let fromKeys: Uint32Array = keys.subarray(0, count)
  if (isSorted(fromKeys)) return { items: fromItems, keys: fromKeys }
  let toItems: Uint32Array = new Uint32Array(count)
  let toKeys: Uint32Array = new Uint32Array(count)
  const starts = new Uint32Array(DIGITS)
  for (let bit = shift; bit < KEY_BITS; bit += DIGIT_BITS) {
    if (!findStarts(fromKeys, bit, starts)) continue
    for (let at = 0; at < count; at++) {
      const key = fromKeys[at] as number
      const digit = (key >>> bit) & DIGIT_MASK
      const to = starts[digit] as number
      starts[digit] = to + 1
      toItems[to] = fromItems[at] as number
      toKeys[to] = key
    }
    const [usedItems, usedKeys] = [fromItems, fromKeys]
    fromItems = toItems
    fromKeys = toKeys
    toItems = usedItems
    toKeys = usedKeys
  }
  return { items: fromItems, keys: fromKeys }
}

/** Sorts by times in microseconds; times about a millisecond apart may count as equal. */
export function sortByTime(items: Uint32Array, timesUs: Float64Array, count: number): Uint32Array {
  let firstUs = Infinity
  let lastUs = -Infinity
  for (let at = 0; at < count; at++) {
    firstUs = Math.min(firstUs, timesUs[at] as number)
    lastUs = Math.max(lastUs, timesUs[at] as number)
  }
  const unitUs = Math.max(1024, (lastUs - firstUs) / (2 ** KEY_BITS - 1))
  const keys = new Uint32Array(count)
  for (let at = 0; at < count; at++) keys[at] = ((timesUs[at] as number) - firstUs) / unitUs
  return radixSort({ items, keys }, count).items
}

function isSorted(keys: Uint32Array): boolean {
  for (let at = 1; at < keys.length; at++) {
    if ((keys[at] as number) < (keys[at - 1] as number)) return false
  }
  return true
}

/** Computes where each digit's items begin; false when all keys have the same digit. */
function findStarts(keys: Uint32Array, shift: number, starts: Uint32Array): boolean {
  starts.fill(0)
  for (let at = 0; at < keys.length; at++) {
    const digit = ((keys[at] as number) >>> shift) & DIGIT_MASK
    starts[digit] = (starts[digit] as number) + 1
  }
  let start = 0
  for (let digit = 0; digit < DIGITS; digit++) {
    const count = starts[digit] as number
    if (count === keys.length) return false
    starts[digit] = start
    start += count
  }
  return true
}
