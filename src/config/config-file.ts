// The configuration file: where it is searched, what its top level may hold, and which of its keys
// are not settings.

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { closest, type Checked, type Problem, showGiven } from '../base/problem.ts'
import { type Environment, readVariable } from './environment.ts'
import { expandHome, isUnexpanded, UNEXPANDED } from './paths.ts'
import { CONFIG_FILE_DEFAULT, CONFIG_FILE_ENV, SETTING_ENTRIES } from './settings.ts'
import { type YamlSource, parseYaml } from './yaml-source.ts'

/** Where to look for the file. */
export interface FilePlace {
  /** The argument of --config. */
  readonly configFile?: string
  readonly env: Environment
  readonly cwd: string
}

/** A file that could be read. */
export interface ConfigFile {
  /** Its path, as given. */
  readonly name: string
  readonly root: Readonly<Record<string, unknown>>
  readonly source: YamlSource
}

/** The named file, or sluice.yaml where it exists; undefined where there is none. */
export function readConfigFile(place: FilePlace): Checked<ConfigFile | undefined> {
  const named = place.configFile ?? readVariable(place.env, CONFIG_FILE_ENV)
  const name = expandHome(named ?? CONFIG_FILE_DEFAULT, place.env)
  const key = place.configFile !== undefined ? '--config' : CONFIG_FILE_ENV
  const source = place.configFile !== undefined ? 'flag' : 'environment'
  const file = path.resolve(place.cwd, name)
  if (named === undefined && !existsSync(file)) return { ok: true, value: undefined }
  if (isUnexpanded(name)) {
    const expected = `the path of a file, ${UNEXPANDED}`
    return { ok: false, problems: [{ key, source, given: showGiven(name), expected }] }
  }
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const problem = named === undefined ? { key: '', source: `file ${name}` } : { key, source }
    const expected = `a file that can be read (${(error as Error).message})`
    return { ok: false, problems: [{ ...problem, given: showGiven(name), expected }] }
  }
  const yaml = parseYaml(text)
  if (!yaml.ok) {
    const problems = yaml.faults.map(({ line, message }) =>
      ({ key: '', source: `file ${name}:${line}`, expected: message }))
    return { ok: false, problems }
  }
  const root = yaml.source.value ?? {}
  if (!isMap(root)) {
    const expected = 'a map of settings'
    return { ok: false, problems: [{ key: '', source: `file ${name}:1`, given: showGiven(root),
      expected }] }
  }
  return { ok: true, value: { name, root, source: yaml.source } }
}

/** Whether a value is a YAML map. */
const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The value at a path of keys; own properties only. */
export function lookUp(
  root: unknown, keys: readonly string[],
): { found: boolean; value?: unknown } {
  let value = root
  for (const key of keys) {
    if (!isMap(value) || !Object.hasOwn(value, key)) return { found: false }
    value = value[key]
  }
  return { found: true, value }
}

/** Keys that are not settings, at the top and inside the groups `defaults` and `webhooks`. */
export function unknownKeys(file: ConfigFile): readonly Problem[] {
  const keys = SETTING_ENTRIES.map(([, setting]) => setting.key)
  const groups = new Set(keys.filter((key) => key.includes('.')).map((key) => key.split('.')[0]))
  const problems: Problem[] = []
  const report = (keyPath: readonly string[], problem: { given?: string; expected: string }) =>
    problems.push({
      key: keyPath.join('.'), source: `file ${file.name}:${file.source.lineOf(keyPath)}`,
      ...problem,
    })
  for (const [key, value] of Object.entries(file.root)) {
    if (!groups.has(key)) {
      // A key with a dot must be written as a group and a key in it.
      if (key.includes('.') || !keys.includes(key)) {
        report([key], { expected: unknownKeyText(key) })
      }
      continue
    }
    if (value === null) continue
    if (!isMap(value)) {
      report([key], { given: showGiven(value), expected: `a map such as ${key}: {rps: 5}` })
      continue
    }
    for (const inner of Object.keys(value)) {
      const full = `${key}.${inner}`
      if (!keys.includes(full)) report([key, inner], { expected: unknownKeyText(inner, key) })
    }
  }
  return problems
}

/**
 * 'rsp' in 'defaults' → "not a setting; did you mean defaults.rps?", 'port' in 'defaults' → the
 * same with port, which belongs at the top level.
 */
function unknownKeyText(key: string, group?: string): string {
  const meant = meantKey(key.toLowerCase(), group)
  return meant === undefined ? 'not a setting' : `not a setting; did you mean ${meant}?`
}

/** First the exact name in the group, as a flag, or anywhere; then the most similar name. */
function meantKey(key: string, group: string | undefined): string | undefined {
  const settings = SETTING_ENTRIES.map(([, { flag, key: full }]) => ({
    full, flag: flag.replaceAll('-', '_'), group: groupOf(full),
    inner: full.split('.').at(-1) ?? '',
  }))
  const beside = settings.filter((setting) => setting.group === group)
  const exact = beside.find(({ inner }) => inner === key) ??
    settings.find(({ flag, full, inner }) => [flag, full, inner].includes(key))
  if (exact !== undefined) return exact.full
  const near = closest(key, beside.map(({ inner }) => inner))
  if (near !== undefined) return group === undefined ? near : `${group}.${near}`
  const name = closest(key, settings.flatMap(({ flag, inner }) => [flag, inner]))
  return settings.find(({ flag, inner }) => flag === name || inner === name)?.full
}

const groupOf = (key: string): string | undefined =>
  key.includes('.') ? key.split('.')[0] : undefined
