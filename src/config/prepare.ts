// What follows from a configuration before anything is opened: the memory plan, and the settings of
// shards and front door. Checks whether settings that are valid alone are valid together.

import { MIB } from '../../shards/base/units.ts'
import { type Limits, planMemory } from '../../shards/memory/plan.ts'
import type { ShardSettings } from '../../shards/wire/contract.ts'
import {
  CLIENT_CONNECTIONS_MIN, DESCRIPTORS_PROCESS_MIN, DESCRIPTORS_SHARD_MIN,
} from '../base/client-limits.ts'
import { type Checked, type Problem, showGiven } from '../base/problem.ts'
import { formatBytes } from '../base/quantities.ts'
import { VERSION } from '../base/version.ts'
import {
  memorySettings, originFilter, queueSwitchByCaller, readExtraCa, shardSettings, upstreamResolver,
} from './derive.ts'
import type { FrontDoorSettings } from './door-settings.ts'
import { type JwtSettings, jwtProblems, jwtSettings } from './jwt-settings.ts'
import { listenerProblems, listenersOf } from './listeners.ts'
import type { LoadedConfig } from './load.ts'
import { SETTINGS } from './settings.ts'

/** Everything that is derived from a configuration. */
export interface Prepared {
  readonly loaded: LoadedConfig
  readonly limits: Limits
  readonly shard: ShardSettings
  readonly door: FrontDoorSettings
  /** Undefined where no token is accepted. */
  readonly jwt: JwtSettings | undefined
}

/**
 * Checks what can be wrong with settings that are each valid: files, and memory for all of them.
 * @param cwd base of relative paths.
 */
export function prepare(loaded: LoadedConfig, cwd: string): Checked<Prepared> {
  const { config, origins } = loaded
  const extraCa = readExtraCa(config, origins.caFile, cwd)
  const plan = planMemory(memorySettings(config))
  const problems = [
    ...extraCa.ok ? [] : extraCa.problems, ...tooFewDescriptors(loaded),
    ...listenerProblems(loaded), ...jwtProblems(config, origins),
  ]
  if (!plan.ok) {
    problems.push({
      key: SETTINGS.memoryBytes.key, source: origins.memoryBytes,
      given: showGiven(formatBytes(config.memoryBytes)),
      expected: `at least ${Math.ceil(plan.memoryBytesMin / MIB)}MiB for ` +
        `${shardsText(config.shards)} and bodies of up to ` +
        formatBytes(Math.max(config.bodyBytesMax, config.responseBytesMax)),
    })
  }
  if (!extraCa.ok || !plan.ok || problems.length > 0) return { ok: false, problems }
  const door: FrontDoorSettings = {
    listeners: listenersOf(config), trustedProxies: config.trustedProxies,
    bodyBytesMax: config.bodyBytesMax,
    batchJobsMax: config.batchJobsMax, socketIdleMs: config.socketIdleMs,
    clientBytesMax: config.clientBytesMax, clientConnectionsMax: config.clientConnectionsMax,
    version: VERSION,
    access: { isOpenToAll: config.insecureNoAuth, allowedHosts: config.allowedHosts },
    settingsOf: upstreamResolver(config), mayAskAccountQueue: queueSwitchByCaller(config),
    isListed: originFilter(config),
  }
  const shard = shardSettings(config, extraCa.value)
  const jwt = jwtSettings(config, shard, cwd)
  return { ok: true, value: { loaded, limits: plan.limits, shard, door, jwt } }
}

/** Refuses the start, since a process out of descriptors fails where it cannot report that. */
function tooFewDescriptors({ config: { shards }, sources: { machine } }: LoadedConfig): Problem[] {
  const least = DESCRIPTORS_PROCESS_MIN + CLIENT_CONNECTIONS_MIN + shards * DESCRIPTORS_SHARD_MIN
  if (machine.descriptors >= least) return []
  return [{
    key: 'ulimit -n', source: 'the system', given: String(machine.descriptors),
    expected: `at least ${least} file descriptors for ${shardsText(shards)}`,
  }]
}

const shardsText = (shards: number): string => `${shards} ${shards === 1 ? 'shard' : 'shards'}`
