// The size limits of a socket's frames. The library buffers incomplete frames and does not report
// how much that is; so each socket is counted as if it held a whole frame. There are three sizes,
// each with a route of its own in the library, and a socket that is opened when much memory is in
// use gets a smaller one, which its hello states.

import { MIB } from '../../shards/base/units.ts'
import { CLIENT_BYTES_FREE_OF_SHARES, FRAME_BYTES_MIDDLE } from '../base/client-limits.ts'
import { FRAME_OVERHEAD_BYTES } from '../base/limits.ts'

/** Frames this far over the limit are received, so that the close can state the reason. */
const GOODBYE_BYTES = 4096
/** For a buffer of this size or more, the system may use pages of this size. */
const LARGE_PAGE_BYTES = 2 * MIB

/** The sizes, largest first. */
export const frameTiers = (bodyBytesMax: number): readonly [number, number, number] =>
  [bodyBytesMax + FRAME_OVERHEAD_BYTES, FRAME_BYTES_MIDDLE, CLIENT_BYTES_FREE_OF_SHARES]

/** The library's limit, beyond which it closes the socket itself. */
export const payloadBytesMax = (frameBytesMax: number): number => frameBytesMax + GOODBYE_BYTES

/** What the pool counts for a socket; the smallest frames are covered by its free minimum. */
export function heldByFrame(frameBytesMax: number): number {
  if (frameBytesMax <= CLIENT_BYTES_FREE_OF_SHARES) return 0
  const bytes = payloadBytesMax(frameBytesMax)
  return bytes < LARGE_PAGE_BYTES ? bytes : bytes + LARGE_PAGE_BYTES
}
