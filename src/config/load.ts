// From flags, environment and file to one checked configuration, each value with its origin.
// Flags win over the environment, which wins over the file, which wins over the default; a value
// that is overruled must be valid all the same, because a mistake is a mistake.

import path from 'node:path'
import { type ConfigFile, type FilePlace, lookUp, readConfigFile, unknownKeys } from
  './config-file.ts'
import { readVariable, unknownVariables } from './environment.ts'
import type { Machine } from './machine.ts'
import { type Outcome, type Problem, showGiven } from './problem.ts'
import { type Config, SETTING_ENTRIES, type Setting, type SettingName } from './settings.ts'
import { parseYaml } from './yaml-source.ts'

/** Where a configuration comes from. */
export interface Sources extends FilePlace {
  /** Values of flags as they were typed, by setting; absent where a flag was not given. */
  readonly flags: Readonly<Partial<Record<SettingName, string>>>
  readonly machine: Machine
}

/** A configuration and where each part of it came from. */
export interface LoadedConfig {
  readonly config: Config
  /** `flag --port`, `env SLUICE_PORT`, `file sluice.yaml:port`, `default`. */
  readonly origins: Readonly<Record<SettingName, string>>
  /** The file that was read, as it was named, or undefined. */
  readonly file: string | undefined
  /** What it was read from, so that it can be read again. */
  readonly sources: Sources
}

/** One place where a setting was given. */
interface Given {
  readonly value: unknown
  /** As `sluice config` shows it. */
  readonly origin: string
  readonly problemSource: (path: readonly string[]) => string
  readonly problemKey: string
}

/** Reads and checks everything; all problems are listed, in the order of the sources. */
export function loadConfig(sources: Sources): Outcome<LoadedConfig> {
  const problems: Problem[] = [...unknownVariables(sources.env)]
  const file = readConfigFile(sources)
  if (!file.ok) return { ok: false, problems: [...problems, ...file.problems] }
  const yaml = file.value
  if (yaml !== undefined) problems.push(...unknownKeys(yaml))

  const config: Record<string, unknown> = {}
  const origins: Record<string, string> = {}
  for (const [name, setting] of SETTING_ENTRIES) {
    origins[name] = 'default'
    config[name] = setting.fallback(sources.machine)
    // From the weakest source to the strongest: the last valid one stays.
    for (const given of givenFor(name, setting, sources, yaml)) {
      const checked = check(setting, given)
      if (checked.ok) {
        config[name] = checked.value
        origins[name] = given.origin
      } else problems.push(...checked.problems)
    }
  }
  if (problems.length > 0) return { ok: false, problems }
  const loaded = { config, origins, file: yaml?.name, sources } as unknown as LoadedConfig
  return { ok: true, value: loaded }
}

// --- the sources of one setting ---

function givenFor(
  name: SettingName, setting: Setting, sources: Sources, yaml: ConfigFile | undefined,
): readonly Given[] {
  const given: Given[] = []
  const keyPath = setting.key.split('.')
  const inFile = yaml === undefined ? { found: false } as const : lookUp(yaml.root, keyPath)
  if (yaml !== undefined && inFile.found) {
    const isFile = PATHS.has(name)
    const value = isFile ? besideFile(yaml.name, inFile.value) : inFile.value
    given.push({
      value, origin: `file ${yaml.name}:${setting.key}`, problemKey: setting.key,
      problemSource: (rest) => `file ${yaml.name}:${yaml.source.lineOf([...keyPath, ...rest])}`,
    })
  }
  const variable = readVariable(sources.env, setting.env)
  if (variable !== undefined) {
    given.push(fromText(setting, variable, `env ${setting.env}`, setting.env, 'environment'))
  }
  const flag = sources.flags[name]
  if (flag !== undefined) {
    const origin = `flag --${setting.flag}`
    given.push(fromText(setting, flag, origin, `--${setting.flag}`, 'flag'))
  }
  return given
}

function fromText(
  setting: Setting, text: string, origin: string, problemKey: string, source: string,
): Given {
  const problemSource = (): string => source
  if (setting.kind.argument !== '<map>') return { value: text, origin, problemKey, problemSource }
  // A map on the command line is YAML in its flow form; what is no YAML stays text and is refused.
  const yaml = parseYaml(text)
  return { value: yaml.ok ? yaml.source.value : text, origin, problemKey, problemSource }
}

const PATHS: ReadonlySet<SettingName> = new Set(['caFile', 'control', 'data', 'logFile'])

/** A relative path in the file is meant from where the file is. */
function besideFile(file: string, value: unknown): unknown {
  if (typeof value !== 'string' || value === '' || path.isAbsolute(value)) return value
  return path.join(path.dirname(file), value)
}

function check(setting: Setting, given: Given): Outcome<unknown> {
  const result = setting.kind.schema.safeParse(given.value)
  if (result.success) return { ok: true, value: result.data }
  const problems = result.error.issues.flatMap((issue): Problem[] => {
    const issuePath = issue.path.map(String)
    const source = given.problemSource(issuePath)
    const key = [given.problemKey, ...issuePath].join('.')
    if (issue.code === 'invalid_key') {
      const name = issuePath.at(-1) ?? ''
      const expected = issue.issues[0]?.message ?? issue.message
      return [{ key: given.problemKey, source, given: showGiven(name), expected }]
    }
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((unknown) => ({
        key: `${key}.${unknown}`, source: given.problemSource([...issuePath, unknown]),
        expected: `unknown key; expected ${issue.message}`,
      }))
    }
    const value = issuePath.length === 0 ? given.value : lookUp(given.value, issuePath).value
    return [{ key, source, given: showGiven(value), expected: issue.message }]
  })
  return { ok: false, problems }
}
