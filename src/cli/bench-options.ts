// The flags of `sluice bench`, in one table: the values of each, the scenarios that have it, and
// its default for each of them.

import { PROFILES } from '../../bench/load/payloads.ts'
import { type BenchSettings, SCENARIOS, type ScenarioName } from '../../bench/load/settings.ts'
import * as engine from '../../shards/memory/limits.ts'
import * as limits from '../base/limits.ts'
import { type Checked, type Problem, showGiven } from '../base/problem.ts'
import { type Kind, choice, decimal, wholeNumber, word } from '../config/kinds.ts'
import { rpsKind } from '../config/upstream-table.ts'

/** One flag. */
interface BenchOption {
  readonly flag: string
  readonly kind: Pick<Kind<unknown>, 'schema' | 'expected' | 'argument'>
  /** Several values, separated by commas. */
  readonly isList?: boolean
  readonly description: string
  /** Default by scenario, undefined for none; a scenario without an entry lacks the flag. */
  readonly defaults: Readonly<Partial<Record<ScenarioName, unknown>>>
  /** Shown in the help where there is no default. */
  readonly fallbackText?: string
}

const JOBS_MAX = 1_000_000_000
const ACCOUNTS_MAX = 10_000_000
const UPSTREAMS_MAX = 64
const SECONDS_MAX = 24 * 3600
const CONNECTIONS_MAX = 4096
const DEPTH_MAX = 256
const ALTERNATIONS_MAX = 99
const LOAD_PER_SECOND_MAX = 1_000_000

/** The same default for every scenario. */
const everywhere = (value: unknown): BenchOption['defaults'] =>
  Object.fromEntries(SCENARIOS.map((name) => [name, value]))

type OptionName = Exclude<keyof BenchSettings, 'target' | 'serveFlags' | 'ws' | 'tls'>

const OPTIONS: Readonly<Record<OptionName, BenchOption>> = {
  profile: {
    flag: 'profile', kind: choice(PROFILES, '<name>'), defaults: everywhere('typical'),
    description: `what a job looks like: ${PROFILES.join(', ')}`,
  },
  accounts: {
    flag: 'accounts', kind: wholeNumber(2, ACCOUNTS_MAX),
    defaults: {
      ingest: 1000, drain: 1000, pace: 100, fairness: 10, density: 1000, lanes: 1_000_000,
      journal: 1000, soak: 1000,
    },
    description: 'accounts that the jobs belong to, in turn',
  },
  upstreams: {
    flag: 'upstreams', kind: wholeNumber(1, UPSTREAMS_MAX), defaults: { ingest: 1, journal: 1 },
    description: 'upstreams that the jobs go to',
  },
  seconds: {
    flag: 'seconds', kind: decimal(0.1, SECONDS_MAX),
    defaults: { ingest: 5, pace: 60, fairness: 10, lanes: 30, journal: 5, soak: 600 },
    description: 'how long one measurement takes',
  },
  jobs: {
    flag: 'jobs', kind: wholeNumber(20, JOBS_MAX), defaults: { drain: 200_000, density: 5_000_000 },
    description: 'jobs that are queued',
  },
  connections: {
    flag: 'connections', kind: wholeNumber(1, CONNECTIONS_MAX), defaults: everywhere(64),
    description: 'connections of the load generator',
  },
  depth: {
    flag: 'depth', kind: wholeNumber(1, DEPTH_MAX), defaults: { ingest: 1 },
    description: 'requests at once on each connection (HTTP pipelining); a server that cannot ' +
      'answer out of step closes such connections',
  },
  alternations: {
    flag: 'alternations', kind: wholeNumber(1, ALTERNATIONS_MAX),
    defaults: { ingest: 5, drain: 5, journal: 5 },
    description: 'alternating runs of Sluice and of the baseline',
  },
  concurrency: {
    flag: 'concurrency', kind: wholeNumber(1, limits.CONNECTIONS_PER_ORIGIN_MAX_DEFAULT),
    defaults: { drain: 128, fairness: 128, density: 128 },
    description: 'requests at once to the upstream, and webhooks at once to the receiver',
  },
  rate: {
    flag: 'rate', kind: decimal(engine.PACE_PER_SECOND_MIN, LOAD_PER_SECOND_MAX),
    defaults: { ingest: undefined, pace: undefined, fairness: 200, soak: undefined },
    description: 'per second: jobs of the open loop (ingest, soak), sends of each budget (pace), ' +
      'sends of the upstream (fairness)',
    fallbackText: 'half of the closed loop, or 0.5 for a budget',
  },
  rates: {
    flag: 'rates', kind: rpsKind, isList: true, defaults: { pace: [0.5, 2, 50, 1000] },
    description: 'paces that upstreams ask for, each an upstream of its own',
  },
  budgets: {
    flag: 'budgets', kind: wholeNumber(2, ACCOUNTS_MAX), defaults: { pace: undefined },
    description: 'instead of --rates: so many accounts, each with a pace of its own',
    fallbackText: 'none',
  },
  queued: {
    flag: 'queued', kind: wholeNumber(20, JOBS_MAX), isList: true, defaults: { drain: [] },
    description: 'instead of bare undici: compare how fast queues of these depths empty',
    fallbackText: 'none',
  },
  drained: {
    flag: 'drained', kind: wholeNumber(20, JOBS_MAX), defaults: { density: 100_000 },
    description: 'jobs that are sent at the end',
  },
  ownHost: {
    flag: 'own-host', kind: word('an address of this machine', '<address>'),
    defaults: everywhere('127.0.0.1'),
    description: 'where the bench\'s own upstreams and receiver listen, as the server reaches them',
  },
}

/** Values for scenarios that do not use a setting. */
const UNUSED: Readonly<Partial<BenchSettings>> = {
  upstreams: 1, seconds: 1, jobs: 1, depth: 1, alternations: 1, concurrency: 1, drained: 1,
  rates: [], queued: [],
}

/** Smaller sizes, so that all scenarios together take minutes, not hours. */
const MODERATE: Readonly<Partial<Record<ScenarioName, Partial<BenchSettings>>>> = {
  ingest: { seconds: 3, alternations: 3 },
  drain: { jobs: 100_000, alternations: 3 },
  pace: { seconds: 20 },
  fairness: { seconds: 5 },
  density: { jobs: 1_000_000 },
  lanes: { accounts: 200_000, seconds: 10 },
  journal: { seconds: 2, alternations: 3 },
  soak: { seconds: 60 },
}

const OPTION_ENTRIES = Object.entries(OPTIONS) as [OptionName, BenchOption][]

/** A flag for the command line's parser. */
export interface OptionHelp {
  readonly flags: string
  readonly description: string
}

/** The flags of one scenario, or the union for all of them. */
export function optionHelps(scenarios: readonly ScenarioName[]): OptionHelp[] {
  return OPTION_ENTRIES.filter(([, { defaults }]) => scenarios.some((name) => name in defaults))
    .map(([, option]) => {
      const { argument } = option.kind
      const value = option.isList === true ? argument.replace('>', ',…>') : argument
      const fallback = scenarios.length === 1
        ? showDefault(option.defaults[scenarios[0] as ScenarioName]) : undefined
      const said = fallback ?? option.fallbackText
      return {
        flags: `--${option.flag} ${value}`,
        description: option.description + (said === undefined ? '' : ` (default ${said})`),
      }
    })
}

const showDefault = (value: unknown): string | undefined => {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return undefined
  return Array.isArray(value) ? value.join(',') : String(value)
}

/** The given flags, by the names that the command line's parser uses. */
export type GivenOptions = Readonly<Record<string, string | boolean | undefined>>

/** The settings of one scenario. @param isModerate uses the sizes of `all`. */
export function benchSettings(
  name: ScenarioName, given: GivenOptions, serveFlags: readonly string[], isModerate: boolean,
): Checked<BenchSettings> {
  const problems: Problem[] = []
  const settings: Record<string, unknown> = {
    target: undefined, serveFlags, ws: given['ws'] === true, tls: given['tls'] === true,
  }
  for (const [key, option] of OPTION_ENTRIES) {
    settings[key] = option.defaults[name] ?? UNUSED[key]
    if (isModerate) settings[key] = MODERATE[name]?.[key] ?? settings[key]
    const text = given[camelCase(option.flag)]
    if (typeof text !== 'string' || !(name in option.defaults)) continue
    const read = readValue(option, text)
    if (read.ok) settings[key] = read.value
    else problems.push(...read.problems)
  }
  const target = readTarget(given['target'])
  if (target.ok) settings['target'] = target.value
  else problems.push(...target.problems)
  return problems.length > 0
    ? { ok: false, problems } : { ok: true, value: settings as unknown as BenchSettings }
}

function readValue(option: BenchOption, text: string): Checked<unknown> {
  const parts = option.isList === true ? text.split(',') : [text]
  const values: unknown[] = []
  for (const part of parts) {
    const result = option.kind.schema.safeParse(part)
    if (!result.success) return refuse(option.flag, text, option.kind.expected)
    values.push(result.data)
  }
  return { ok: true, value: option.isList === true ? values : values[0] }
}

function readTarget(text: string | boolean | undefined): Checked<URL | undefined> {
  if (typeof text !== 'string') return { ok: true, value: undefined }
  const url = URL.parse(text)
  return url?.protocol === 'http:' && url.pathname === '/' && url.username + url.password === ''
    ? { ok: true, value: url } : refuse('target', text, 'an address such as http://127.0.0.1:4000')
}

const refuse = (flag: string, text: string, expected: string): Checked<never> => ({
  ok: false,
  problems: [{ key: `--${flag}`, source: 'flag', given: showGiven(text), expected }],
})

const camelCase = (flag: string): string =>
  flag.replaceAll(/-(\w)/g, (_match, letter: string) => letter.toUpperCase())
