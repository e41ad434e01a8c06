// The gates: reasons why a send cannot leave now.
// Thread: shard. Memory: none; constants only.
// Never: opens or shuts a gate.
// A lane or upstream that waits for a time is in the timing wheel. One that waits for anything else
// costs nothing meanwhile: it is parked (parking.ts) or receives a notice, and is checked again
// when its gate opens.

/** The send may leave. */
export const GATE_OPEN = 0
/** The budget's next send is not due yet. */
export const GATE_PACE = 1
/** Fairness between shards: another shard's lanes go first, briefly. */
export const GATE_TURN = 2
/** Earlier sends of the budget are decided but not yet written to their sockets. */
export const GATE_WRITE = 3
/** The budget's limit on requests in flight is reached. */
export const GATE_PERMIT = 4
/** The shard has reached its limit on requests in flight, or the upstream its share of them. */
export const GATE_SHARD_PERMIT = 5
/** No connection to the upstream is free. */
export const GATE_CONNECTION = 6
/** The upstream's responses hold its whole share of the response memory. */
export const GATE_MEMORY = 7
/** The shard sends nothing for now: it is held or stopping, or results wait for room. */
export const GATE_HOLD = 8
/** Number of gates. */
export const GATES = 9

export type Gate = typeof GATE_OPEN | typeof GATE_PACE | typeof GATE_TURN | typeof GATE_WRITE |
  typeof GATE_PERMIT | typeof GATE_SHARD_PERMIT | typeof GATE_CONNECTION | typeof GATE_MEMORY |
  typeof GATE_HOLD
