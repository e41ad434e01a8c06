// From the user's configuration to what the engine and the front door are given: plain data and one
// lookup. The only place that knows both vocabularies.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { MemorySettings } from '../../shards/memory/plan.ts'
import type { ShardSettings, UpstreamSettings } from '../../shards/wire/contract.ts'
import { type Checked, showGiven } from '../base/problem.ts'
import { USER_AGENT } from '../base/version.ts'
import { type Config, SETTINGS } from './settings.ts'
import { type UpstreamDefaults, callersSwitchQueues, settingsOf } from './upstream-table.ts'

/** What planMemory is asked with. */
export function memorySettings(config: Config): MemorySettings {
  const { memoryBytes, shards, bodyBytesMax, responseBytesMax } = config
  return { memoryBytes, shards, bodyBytesMax, responseBytesMax }
}

/** Where jobs are kept, or undefined where they are not. @param cwd where relative paths begin. */
export const dataFolderOf = (
  config: Pick<Config, 'journal' | 'data'>, cwd: string,
): string | undefined =>
  config.journal === 'off' ? undefined : path.resolve(cwd, config.data)

/** Where the log goes; undefined for standard error. @param cwd where relative paths begin. */
export const logFileOf = (config: Config, cwd: string): string | undefined =>
  config.logFile === '' ? undefined : path.resolve(cwd, config.logFile)

/** What every shard is told; `extraCaPem` comes from readExtraCa. */
export function shardSettings(config: Config, extraCaPem: string): ShardSettings {
  return {
    completedTtlMs: config.completedTtlMs,
    failedTtlMs: config.failedTtlMs,
    responseBytesMax: config.responseBytesMax,
    keyMismatch: config.keyMismatch,
    connectionsPerOriginMax: config.connectionsPerOriginMax,
    connectTimeoutMs: config.connectTimeoutMs,
    webhookRetryAfterMsMax: config.webhookRetryAfterMsMax,
    extraCaPem,
    userAgent: USER_AGENT,
    dns: config.dns,
    dnsServers: config.dnsServers,
  }
}

/** What an origin starts with, as a target of jobs or as a receiver of webhooks. */
export type UpstreamResolver =
  (origin: string, role: 'upstream' | 'receiver') => UpstreamSettings

/** The lookup through both tables and their defaults. */
export function upstreamResolver(config: Config): UpstreamResolver {
  const upstreams: UpstreamDefaults = {
    rps: config.defaultRps, maxConcurrent: config.defaultMaxConcurrent,
    accountQueue: config.defaultAccountQueue, timeoutMs: config.defaultTimeoutMs,
  }
  const receivers: UpstreamDefaults = {
    rps: config.webhookRps, maxConcurrent: config.webhookMaxConcurrent,
    accountQueue: false, timeoutMs: config.webhookTimeoutMs,
  }
  return (origin, role) => role === 'upstream'
    ? settingsOf(origin, config.upstreams, upstreams)
    : settingsOf(origin, config.webhookReceivers, receivers)
}

/** Whether callers may switch on the account queues of an origin. */
export const queueSwitchByCaller = (config: Config) => (origin: string): boolean =>
  callersSwitchQueues(origin, config.upstreams, config.defaultAccountQueueByCaller)

/** The certificates of --ca-file as PEM text; empty where none is named. */
export function readExtraCa(
  config: Config, origin: string, cwd: string,
): Checked<string> {
  if (config.caFile === '') return { ok: true, value: '' }
  const refuse = (expected: string): Checked<string> => ({
    ok: false,
    problems: [{ key: SETTINGS.caFile.key, source: origin, given: showGiven(config.caFile),
      expected }],
  })
  try {
    const pem = readFileSync(path.resolve(cwd, config.caFile), 'utf8')
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return { ok: true, value: pem }
    return refuse(`${SETTINGS.caFile.kind.expected}; there is no certificate in it`)
  } catch (error) {
    return refuse(`${SETTINGS.caFile.kind.expected} (${(error as Error).message})`)
  }
}
