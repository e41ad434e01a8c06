// The settings of the front door.

import type { UpstreamSettings } from '../../shards/wire/contract.ts'

/** An origin as a target of jobs, or as a receiver of webhooks. */
export type OriginRole = 'upstream' | 'receiver'

/** The initial settings of an origin. */
export type ResolveUpstream = (origin: string, role: OriginRole) => UpstreamSettings

/** The settings of a front door. */
export interface FrontDoorSettings {
  readonly host: string
  /** 0 for any free port. */
  readonly port: number
  readonly bodyBytesMax: number
  /** Jobs in one POST /jobs/batch. */
  readonly batchJobsMax: number
  /** How long a socket may be silent before it is closed. */
  readonly socketIdleMs: number
  /** See ClientBytes. */
  readonly clientBytesMax: number
  /** WebSockets included. */
  readonly clientConnectionsMax: number
  readonly version: string
  readonly settingsOf: ResolveUpstream
  /** Whether a caller may switch on the account queues of an origin. */
  readonly mayAskAccountQueue: (origin: string) => boolean
  /** Whether jobs may name an origin as their target, or as the receiver of their webhook. */
  readonly isListed: (origin: string, role: OriginRole) => boolean
}
