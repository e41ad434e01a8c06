// The report on standard output when the server listens, for the operator; scripts may wait for its
// line `listening on http://HOST:PORT`.

import {
  type Limits, plannedBytes, shardParts, UPSTREAM_SHARED_BYTES,
} from '../../shards/memory/plan.ts'
import { clientBytesAtMost, residentBytesAtMost } from '../base/client-bytes.ts'
import { formatBytes } from '../base/quantities.ts'
import { VERSION } from '../base/version.ts'
import { type Listener, type ListenerKind, ofKind, showPlace } from '../config/listeners.ts'
import type { Config } from '../config/settings.ts'

/** The content of the report. */
export interface StartFacts {
  readonly limits: Limits
  readonly config: Config
  readonly configFile: string | undefined
  /** The data folder; undefined when jobs are held in memory only. */
  readonly dataFolder: string | undefined
  readonly listeners: readonly Listener[]
}

const LABEL_WIDTH = 12
const SIZE_WIDTH = 11

/** The whole report, with a final line break. */
export function startReport(facts: StartFacts): string {
  const { config, limits, listeners } = facts
  const urlOf = (kind: ListenerKind): string | undefined => {
    const listener = ofKind(listeners, kind)
    return listener && `http://${showPlace(listener)}`
  }
  const lines = [
    `sluice ${VERSION}`,
    row('config', facts.configFile ?? 'no file'),
    row('journal', facts.dataFolder ?? 'off: jobs end with the process'),
    row('shards', String(limits.shards)),
    row('jobs', `at most ${(limits.jobsMax * limits.shards).toLocaleString('en-US')}`),
    row('memory', `${formatBytes(plannedBytes(limits))} of ${formatBytes(limits.memoryBytes)}` +
      (config.touch ? ', all of it touched' : ', taken as it fills')),
    ...memorySum(limits),
    row('clients', `at most ${formatBytes(clientBytesAtMost(config))}, with ` +
      `${config.clientConnectionsMax.toLocaleString('en-US')} connections`),
    row('resident', `at most ${formatBytes(residentBytesAtMost(config))}`),
    row('operators', urlOf('operators') ?? 'off'),
    `listening on ${urlOf('callers')}`,
  ]
  return `${lines.join('\n')}\n`
}

/** The parts that add up to the planned bytes, each for all shards together. */
function memorySum(limits: Limits): readonly string[] {
  const ofShards = shardParts(limits).map(([name, bytes]) => [name, bytes * limits.shards] as const)
  const table = ['upstream table', limits.upstreamsMax * UPSTREAM_SHARED_BYTES] as const
  const parts = [...ofShards, table]
  const width = Math.max(...parts.map(([name]) => name.length))
  return parts.map(([name, bytes]) =>
    row('', `${name.padEnd(width)}${formatBytes(bytes).padStart(SIZE_WIDTH)}`))
}

const row = (label: string, text: string): string => `${label.padEnd(LABEL_WIDTH)}${text}`
