// How large a socket's frames may be. The library holds what has come of a frame that is not
// complete, and nobody can see how much that is; so each socket is counted as if it held a whole
// one. There are three sizes, each with a route of its own in the library, and a socket that is
// opened when much is taken gets a smaller one; its hello says which.

import { MIB } from '../../shards/base/units.ts'
import { CLIENT_BYTES_FREE_OF_SHARES, FRAME_BYTES_MIDDLE } from '../base/client-limits.ts'
import { FRAME_OVERHEAD_BYTES } from '../base/limits.ts'

/** A frame is let through so far beyond its limit, so that its sender can be told goodbye. */
const GOODBYE_BYTES = 4096
/** From this size on the system may hand out memory in pages of it. */
const LARGE_PAGE_BYTES = 2 * MIB

/** The sizes, from the largest on. */
export const frameTiers = (bodyBytesMax: number): readonly [number, number, number] =>
  [bodyBytesMax + FRAME_OVERHEAD_BYTES, FRAME_BYTES_MIDDLE, CLIENT_BYTES_FREE_OF_SHARES]

/** What the library is to let through. */
export const payloadBytesMax = (frameBytesMax: number): number => frameBytesMax + GOODBYE_BYTES

/** What a socket is counted with; the smallest frames are among what each connection may take. */
export function heldByFrame(frameBytesMax: number): number {
  if (frameBytesMax <= CLIENT_BYTES_FREE_OF_SHARES) return 0
  const bytes = payloadBytesMax(frameBytesMax)
  return bytes < LARGE_PAGE_BYTES ? bytes : bytes + LARGE_PAGE_BYTES
}
