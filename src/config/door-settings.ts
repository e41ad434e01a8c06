// What the user has chosen, as far as the front door needs it.

import type { UpstreamSettings } from '../../shards/wire/contract.ts'

/** What an origin starts with, as a target of jobs or as a receiver of webhooks. */
export type ResolveUpstream =
  (origin: string, role: 'upstream' | 'receiver') => UpstreamSettings

/** The settings of a front door. */
export interface FrontDoorSettings {
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  readonly bodyBytesMax: number
  /** Jobs in one POST /jobs/batch. */
  readonly batchJobsMax: number
  /** Without a byte, before a socket is closed. */
  readonly socketIdleMs: number
  /** See ClientBytes. */
  readonly clientBytesMax: number
  /** Sockets among them. */
  readonly clientConnectionsMax: number
  readonly version: string
  readonly settingsOf: ResolveUpstream
  /** Whether a caller may switch on the account queues of an origin. */
  readonly mayAskAccountQueue: (origin: string) => boolean
}
