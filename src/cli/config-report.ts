// `sluice config`: every setting's value and where it comes from, for people or as JSON.

import type { LoadedConfig } from '../config/load.ts'
import { SETTING_ENTRIES } from '../config/settings.ts'

/** A table with a setting to a line. */
export function configTable(loaded: LoadedConfig): string {
  const rows = SETTING_ENTRIES.map(([name, setting]) => [
    setting.key, setting.kind.format(loaded.config[name]), loaded.origins[name],
  ] as const)
  const keyWidth = Math.max(...rows.map(([key]) => key.length))
  const valueWidth = Math.min(40, Math.max(...rows.map(([, value]) => value.length)))
  return rows.map(([key, value, origin]) =>
    `${key.padEnd(keyWidth)}  ${value.padEnd(valueWidth)}  ${origin}\n`).join('')
}

/** By key, exact: sizes in bytes, durations in milliseconds. */
export function configJson(loaded: LoadedConfig): string {
  const settings = Object.fromEntries(SETTING_ENTRIES.map(([name, setting]) =>
    [setting.key, { value: loaded.config[name], origin: loaded.origins[name] }]))
  return `${JSON.stringify({ file: loaded.file ?? null, settings }, null, 2)}\n`
}
