// Reads flags, environment and file into one checked configuration, each value with its origin.
// Flags override the environment, which overrides the file, which overrides the default; an
// overridden value must be valid all the same, since an invalid one is a mistake.

import { type Checked, type Problem, showGiven } from '../base/problem.ts'
import { type ConfigFile, type FilePlace, lookUp, readConfigFile, unknownKeys } from
  './config-file.ts'
import { type Environment, readVariable, unknownVariables } from './environment.ts'
import type { Machine } from './machine.ts'
import { besideFile, expandHome, isUnexpanded, UNEXPANDED } from './paths.ts'
import {
  type Config, SETTINGS, SETTING_ENTRIES, type Setting, type SettingName,
} from './settings.ts'
import { parseYaml } from './yaml-source.ts'

/** The sources of a configuration. */
export interface Sources extends FilePlace {
  /** Values of flags as typed, by setting; absent where a flag was not given. */
  readonly flags: Readonly<Partial<Record<SettingName, string>>>
  readonly machine: Machine
}

/** A configuration, and the origin of each of its values. */
export interface LoadedConfig {
  readonly config: Config
  /** `flag --port`, `env SLUICE_PORT`, `file sluice.yaml:port`, `default`. */
  readonly origins: Readonly<Record<SettingName, string>>
  /** The file that was read, as it was named; undefined for none. */
  readonly file: string | undefined
  /** Its sources, so that it can be read again. */
  readonly sources: Sources
}

/** Some settings, for a command that needs no others. */
export interface LoadedPart<Name extends SettingName> {
  readonly config: Pick<Config, Name>
  /** Problems in the file, which are ignored: such a command works whatever else a file says. */
  readonly passedOver: readonly Problem[]
}

/** One place where a setting was given. */
interface Given {
  readonly isInFile: boolean
  readonly value: unknown
  /** As `sluice config` shows it. */
  readonly origin: string
  readonly problemSource: (path: readonly string[]) => string
  readonly problemKey: string
}

/** Reads and checks everything; lists all problems, in the order of the sources. */
export function loadConfig(sources: Sources): Checked<LoadedConfig> {
  const problems: Problem[] = [...unknownVariables(sources.env)]
  const file = readConfigFile(sources)
  if (!file.ok) return { ok: false, problems: [...problems, ...file.problems] }
  const yaml = file.value
  if (yaml !== undefined) problems.push(...unknownKeys(yaml))

  const config: Record<string, unknown> = {}
  const origins: Record<string, string> = {}
  for (const [name, setting] of SETTING_ENTRIES) {
    const settled = settle(name, setting, sources, yaml)
    config[name] = settled.value
    origins[name] = settled.origin
    problems.push(...settled.inFile, ...settled.outsideFile)
  }
  if (problems.length > 0) return { ok: false, problems }
  const loaded = { config, origins, file: yaml?.name, sources } as unknown as LoadedConfig
  return { ok: true, value: loaded }
}

/**
 * Reads some settings alone: ignores whatever is wrong with a file, or with other variables. Flags
 * and variables of these settings must be valid, and a file that a flag names must be readable.
 */
export function loadPart<Name extends SettingName>(
  sources: Sources, names: readonly Name[],
): Checked<LoadedPart<Name>> {
  const file = readConfigFile(sources)
  if (!file.ok && sources.configFile !== undefined) return file
  const passedOver: Problem[] = file.ok ? [] : [...file.problems]
  const problems: Problem[] = []
  const config: Partial<Record<SettingName, unknown>> = {}
  for (const name of names) {
    const yaml = file.ok ? file.value : undefined
    const settled = settle(name, SETTINGS[name] as Setting, sources, yaml)
    config[name] = settled.value
    passedOver.push(...settled.inFile)
    problems.push(...settled.outsideFile)
  }
  if (problems.length > 0) return { ok: false, problems }
  return { ok: true, value: { config: config as Pick<Config, Name>, passedOver } }
}

/** A setting's value, and the problems with it, in the file and in the other sources. */
function settle(
  name: SettingName, setting: Setting, sources: Sources, yaml: ConfigFile | undefined,
): { value: unknown; origin: string; inFile: Problem[]; outsideFile: Problem[] } {
  const settled = {
    value: setting.fallback(sources.machine), origin: 'default',
    inFile: [] as Problem[], outsideFile: [] as Problem[],
  }
  // From the weakest source to the strongest: the last valid value wins.
  for (const given of givenFor(name, setting, sources, yaml)) {
    const checked = check(setting, given, sources.env)
    if (checked.ok) {
      settled.value = checked.value
      settled.origin = given.origin
    } else settled[given.isInFile ? 'inFile' : 'outsideFile'].push(...checked.problems)
  }
  return settled
}

// --- the sources of one setting ---

function givenFor(
  name: SettingName, setting: Setting, sources: Sources, yaml: ConfigFile | undefined,
): readonly Given[] {
  const given: Given[] = []
  const keyPath = setting.key.split('.')
  const inFile = yaml === undefined ? { found: false } as const : lookUp(yaml.root, keyPath)
  if (yaml !== undefined && inFile.found) {
    const { value } = inFile
    const isPath = setting.kind.isPath === true && typeof value === 'string'
    given.push({
      isInFile: true, value: isPath ? besideFile(yaml.name, value) : value,
      origin: `file ${yaml.name}:${setting.key}`, problemKey: setting.key,
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
  const given = { isInFile: false, value: text, origin, problemKey, problemSource }
  if (setting.kind.argument !== '<map>') return given
  // A map on the command line is YAML in flow form; text that is not YAML is refused later.
  const yaml = parseYaml(text)
  return yaml.ok ? { ...given, value: yaml.source.value } : given
}

// oxlint-disable-next-line no-control-regex -- they are what is refused
const CONTROL = /[\x00-\x1f\x7f]/

function check(setting: Setting, given: Given, env: Environment): Checked<unknown> {
  const { kind } = setting
  const refuse = (how: string): Checked<unknown> => ({ ok: false, problems: [{
    key: given.problemKey, source: given.problemSource([]), given: showGiven(given.value),
    expected: `${kind.expected}, ${how}`,
  }] })
  const meant = kind.isPath === true && typeof given.value === 'string'
    ? expandHome(given.value, env) : given.value
  if (typeof meant === 'string') {
    if (CONTROL.test(meant)) return refuse('without control characters')
    if (kind.isPath === true && isUnexpanded(meant)) return refuse(UNEXPANDED)
  }
  const result = kind.schema.safeParse(meant)
  if (result.success) return { ok: true, value: result.data }
  const problems = result.error.issues.flatMap((issue): Problem[] => {
    const issuePath = issue.path.map(String)
    const source = given.problemSource(issuePath)
    // A value that was typed as one text is shown as typed.
    const isText = typeof given.value === 'string'
    const key = isText ? given.problemKey : [given.problemKey, ...issuePath].join('.')
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
    const isWhole = isText || issuePath.length === 0
    const value = isWhole ? given.value : lookUp(given.value, issuePath).value
    return [{ key, source, given: showGiven(value), expected: issue.message }]
  })
  return { ok: false, problems }
}
