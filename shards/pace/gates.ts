// Why a send may not leave now.
// Thread: shard. Memory: none; numbers alone.
// Never: opens or shuts a gate.
// What waits for a time is in the wheel at that time. What waits for anything else costs no turn:
// it is parked (parking.ts), or a notice comes, and is looked at again when its gate opens.

/** It may leave. */
export const GATE_OPEN = 0
/** The budget's time has not come. */
export const GATE_PACE = 1
/** Another shard's lanes go first, for a moment. */
export const GATE_TURN = 2
/** Sends that were decided before have still to be written. */
export const GATE_WRITE = 3
/** The budget's limit on requests in flight is reached. */
export const GATE_PERMIT = 4
/** The shard has as many requests in flight as it may, or the upstream its share of them. */
export const GATE_SHARD_PERMIT = 5
/** No connection to the upstream is free. */
export const GATE_CONNECTION = 6
/** Responses of the upstream hold its share of the memory for them. */
export const GATE_MEMORY = 7
/** The shard sends nothing for now: it is held or stopping, or results wait for room. */
export const GATE_HOLD = 8
/** How many there are. */
export const GATES = 9

export type Gate = typeof GATE_OPEN | typeof GATE_PACE | typeof GATE_TURN | typeof GATE_WRITE |
  typeof GATE_PERMIT | typeof GATE_SHARD_PERMIT | typeof GATE_CONNECTION | typeof GATE_MEMORY |
  typeof GATE_HOLD
