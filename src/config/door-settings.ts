// The settings of the front door.

import type { UpstreamSettings } from '../../shards/wire/contract.ts'
import type { Listener } from './listeners.ts'

/** An origin as a target of jobs, or as a receiver of webhooks. */
export type OriginRole = 'upstream' | 'receiver'

/** The initial settings of an origin. */
export type ResolveUpstream = (origin: string, role: OriginRole) => UpstreamSettings

/** Who may ask. */
export interface AccessSettings {
  /** Everybody, without a key. */
  readonly isOpenToAll: boolean
  /** Host names that requests may be for while there are no keys, besides this machine's own. */
  readonly allowedHosts: readonly string[]
}

/** The settings of a front door. */
export interface FrontDoorSettings {
  readonly listeners: readonly Listener[]
  /** Addresses and ranges. */
  readonly trustedProxies: readonly string[]
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
  readonly access: AccessSettings
  readonly settingsOf: ResolveUpstream
  /** Whether a caller may switch on the account queues of an origin. */
  readonly mayAskAccountQueue: (origin: string) => boolean
  /** Whether jobs may name an origin as their target, or as the receiver of their webhook. */
  readonly isListed: (origin: string, role: OriginRole) => boolean
}
