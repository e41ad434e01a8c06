// Translates the user's configuration into the settings of the engine and the front door: plain
// data and one lookup. The only file that knows both vocabularies.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { MemorySettings } from '../../shards/memory/plan.ts'
import type { ShardSettings } from '../../shards/wire/contract.ts'
import { type Checked, showGiven } from '../base/problem.ts'
import { USER_AGENT } from '../base/version.ts'
import type { OriginRole, ResolveUpstream } from './door-settings.ts'
import { isLoopback, listenersOf } from './listeners.ts'
import { type Config, SETTINGS } from './settings.ts'
import {
  type UpstreamDefaults, callersSwitchQueues, isInTable, settingsOf,
} from './upstream-table.ts'

/** The input of planMemory. */
export function memorySettings(config: Config): MemorySettings {
  const { memoryBytes, shards, bodyBytesMax, responseBytesMax } = config
  return { memoryBytes, shards, bodyBytesMax, responseBytesMax }
}

/** The data folder, or undefined with --journal off. @param cwd base of relative paths. */
export const dataFolderOf = (
  config: Pick<Config, 'journal' | 'data'>, cwd: string,
): string | undefined =>
  config.journal === 'off' ? undefined : path.resolve(cwd, config.data)

/** In the data folder, unless another file is named. */
const KEY_FILE = 'keys.json'

/** The key file; undefined where there is no place for one. @param cwd base of relative paths. */
export function keysFileOf(
  config: Pick<Config, 'journal' | 'data' | 'keysFile'>, cwd: string,
): string | undefined {
  if (config.keysFile !== '') return path.resolve(cwd, config.keysFile)
  const folder = dataFolderOf(config, cwd)
  return folder === undefined ? undefined : path.join(folder, KEY_FILE)
}

/** The log file; undefined for standard error. @param cwd base of relative paths. */
export const logFileOf = (config: Config, cwd: string): string | undefined =>
  config.logFile === '' ? undefined : path.resolve(cwd, config.logFile)

/** The settings of every shard; `extraCaPem` comes from readExtraCa. */
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
    egress: {
      allow: config.egressAllow, deny: config.egressDeny,
      named: [...Object.keys(config.upstreams), ...Object.keys(config.webhookReceivers)],
      isOpen: listenersOf(config).every(({ host }) => isLoopback(host)),
      upstreamsOnly: config.upstreamsOnly,
    },
  }
}


/** Looks up both tables, and the defaults for what they leave open. */
export function upstreamResolver(config: Config): ResolveUpstream {
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

/** Whether an origin may be named in jobs: all may, unless only those in the tables may. */
export const originFilter = (config: Config) => (origin: string, role: OriginRole): boolean =>
  !config.upstreamsOnly ||
  isInTable(origin, role === 'upstream' ? config.upstreams : config.webhookReceivers)

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
