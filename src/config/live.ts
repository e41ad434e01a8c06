// Which settings can change while the server runs, and the error for changes of the others.

import { isDeepStrictEqual } from 'node:util'
import type { Problem } from '../base/problem.ts'
import type { LoadedConfig } from './load.ts'
import { type Config, SETTING_ENTRIES, type SettingName } from './settings.ts'

/**
 * A reload puts these into effect: paces and limits for upstreams that are not yet known, the rest
 * for all. All others need a restart; so does a new setting until it is listed here.
 */
const LIVE: ReadonlySet<SettingName> = new Set<SettingName>([
  'batchJobsMax', 'graceMs', 'completedTtlMs', 'failedTtlMs', 'keyMismatch',
  'connectionsPerOriginMax', 'connectTimeoutMs', 'caFile', 'dns', 'dnsServers', 'egressAllow',
  'egressDeny', 'upstreamsOnly', 'trustedProxies', 'insecureNoAuth', 'allowedHosts', 'logLevel',
  'jwtJwks', 'jwtIssuer', 'jwtAudience', 'jwtClockSkewMs', 'jwtTenantClaim', 'jwtScopesClaim',
  'jwtUserClaim', 'jwtTenants',
  'defaultRps', 'defaultMaxConcurrent', 'defaultAccountQueue', 'defaultAccountQueueByCaller',
  'defaultTimeoutMs', 'webhookRps', 'webhookMaxConcurrent', 'webhookTimeoutMs',
  'webhookRetryAfterMsMax', 'upstreams', 'webhookReceivers',
])

/** Changes that need a restart. A setting that the running server does not have is ignored. */
export function changesThatNeedRestart(
  running: Config, { config, origins }: LoadedConfig,
): readonly Problem[] {
  const problems: Problem[] = []
  for (const [name, setting] of SETTING_ENTRIES) {
    if (LIVE.has(name) || !(name in config)) continue
    if (isDeepStrictEqual(running[name], config[name])) continue
    problems.push({
      key: setting.key, source: origins[name], given: setting.kind.format(config[name]),
      expected: `${setting.kind.format(running[name])} as at the start: a change needs a restart`,
    })
  }
  return problems
}
