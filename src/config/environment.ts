// Which environment variables are settings. Unknown ones with Sluice's prefix are reported, except
// those that Kubernetes sets for a Service named sluice.

import { type Problem, unknownText } from '../base/problem.ts'
import { CONFIG_FILE_ENV, KEY_ENV, SERVER_ENV, SETTING_ENTRIES } from './settings.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The variable's value; undefined where it is unset, empty, or set by Kubernetes. */
export function readVariable(env: Environment, name: string): string | undefined {
  const value = env[name]
  return value === undefined || value === '' || isServiceLink(name, value) ? undefined : value
}

/** Variables that begin with SLUICE_ and are not known. */
export function unknownVariables(env: Environment): readonly Problem[] {
  const known = SETTING_ENTRIES.map(([, setting]) => setting.env)
  return Object.entries(env)
    .filter(([name, value]) => name.startsWith('SLUICE_') && !known.includes(name) &&
      !OTHER_VARIABLES.has(name) && !isServiceLink(name, value ?? ''))
    .map(([name]) => ({ key: name, source: 'environment', expected: unknownText(name, known) }))
}

/** Not settings: read by commands, tests and assertions. */
const OTHER_VARIABLES: ReadonlySet<string> =
  new Set([CONFIG_FILE_ENV, SERVER_ENV, KEY_ENV, 'SLUICE_VERIFY', 'SLUICE_SEED'])

/**
 * Kubernetes sets such variables in every container for a Service named sluice:
 * SLUICE_SERVICE_HOST, SLUICE_PORT_4000_TCP_ADDR, and SLUICE_PORT=tcp://10.0.0.1:4000.
 */
function isServiceLink(name: string, value: string): boolean {
  return /_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value))
}
