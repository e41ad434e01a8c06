// The state of the process as a whole, as the front door reports it.

/** What the process as a whole is doing. */
export type DoorState = 'starting' | 'ready' | 'draining'

/** What GET /ready reports. `degraded`: a shard does not answer, and its users get 503. */
export type Readiness = DoorState | 'degraded'
