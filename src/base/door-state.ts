// What the process as a whole is doing, as its front door knows it.

/** What the process as a whole is doing. */
export type DoorState = 'starting' | 'ready' | 'draining'

/** What GET /ready says. `degraded`: a shard does not answer, and its users get 503. */
export type Readiness = DoorState | 'degraded'
