// What the configuration says about single upstreams and webhook receivers: the table by host, and
// the lookup for an origin that the front door sees for the first time.

import { z } from 'zod'
import type { PerSecond } from '../../shards/base/units.ts'
import * as engine from '../../shards/memory/limits.ts'
import { UPSTREAMS_MAX } from '../../shards/memory/plan.ts'
import type { UpstreamSettings } from '../../shards/wire/contract.ts'
import { hostIdentity } from '../base/host-name.ts'
import { type Kind, decimal, milliseconds, toggle, wholeNumber } from './kinds.ts'

/** Entries of one table: no more than upstreams can be known at once. */
const TABLE_ENTRIES_MAX = UPSTREAMS_MAX

export const rpsKind = decimal(engine.PACE_PER_SECOND_MIN, engine.PACE_PER_SECOND_MAX)
export const concurrentKind = wholeNumber(1, engine.CONCURRENT_MAX)
export const timeoutKind = milliseconds(1, engine.JOB_DEADLINE_MS)
export const accountQueueKind = toggle(false)

const entrySchema = z.strictObject({
  rps: rpsKind.schema.optional(),
  max_concurrent: concurrentKind.schema.optional(),
  account_queue: accountQueueKind.schema.optional(),
  account_queue_by_caller: accountQueueKind.schema.optional(),
  timeout_ms: timeoutKind.schema.optional(),
}, {
  error: 'a map with any of rps, max_concurrent, account_queue, account_queue_by_caller, ' +
    'timeout_ms',
})

const receiverSchema = entrySchema.omit({ account_queue: true, account_queue_by_caller: true })

/** What a table may say about one host. */
export type UpstreamRule = z.infer<typeof entrySchema>
/** By host or host:port, in lower case. */
export type UpstreamRules = Readonly<Record<string, UpstreamRule>>

const HOST_EXPECTED = 'a host or host:port, such as api.example.com or 127.0.0.1:8080'

/** The identity of an upstream, port included: 'API.Example.com.:443' → 'api.example.com:443'. */
function normalizeHost(text: string): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[^\s:/?#@[\]\\]+)(?::(\d{1,5}))?$/i.exec(text)
  const name = match?.[1]
  if (name === undefined) return undefined
  const url = URL.parse(`http://${name}/`)
  if (url === null) return undefined
  const host = hostIdentity(url.hostname)
  const port = match?.[2]
  if (port === undefined) return host
  const portNumber = Number(port)
  if (portNumber < 1 || portNumber > 65_535) return undefined
  return `${host}:${portNumber}`
}

/** On the command line, a table is YAML in flow form, of which JSON is a subset. */
function tableKind(entry: z.ZodType<UpstreamRule>): Kind<UpstreamRules> {
  const expected = 'a map from host to {rps, max_concurrent, …}'
  const host = z.string().refine((text) => normalizeHost(text) !== undefined, HOST_EXPECTED)
  const byHost = z.record(host, entry, { error: expected })
  const schema = z.preprocess((given) => given ?? {}, byHost).transform((table, context) => {
    const normal: Record<string, UpstreamRule> = Object.create(null)
    const entries = Object.entries(table)
    const refuse = (path: string[], message: string): void => {
      context.issues.push({ code: 'custom', path, message, input: table })
    }
    if (entries.length > TABLE_ENTRIES_MAX) refuse([], `at most ${TABLE_ENTRIES_MAX} hosts`)
    for (const [text, settings] of entries) {
      const name = normalizeHost(text) ?? text
      if (name in normal) refuse([text], `each host once; ${name} is there twice`)
      normal[name] = settings
    }
    return normal
  })
  return { schema, expected, argument: '<map>', format: (table) => JSON.stringify(table) }
}

export const upstreamTableKind = tableKind(entrySchema)
export const receiverTableKind = tableKind(receiverSchema)

/** The initial settings of an upstream that is in no table. */
export interface UpstreamDefaults {
  readonly rps: number
  readonly maxConcurrent: number
  readonly accountQueue: boolean
  readonly timeoutMs: number
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }

/**
 * The settings of an origin such as `https://api.example.com`, each from its host and port if the
 * table has it there, else from its host, else from the defaults.
 */
export function settingsOf(
  origin: string, table: UpstreamRules, defaults: UpstreamDefaults,
): UpstreamSettings {
  const entry = entryOf(origin, table)
  return {
    pacePerSecond: (entry.rps ?? defaults.rps) as PerSecond,
    concurrentMax: entry.max_concurrent ?? defaults.maxConcurrent,
    accountQueues: entry.account_queue ?? defaults.accountQueue,
    timeoutMs: entry.timeout_ms ?? defaults.timeoutMs,
  }
}

/** Whether callers may switch on the account queues of an origin, by a request header. */
export const callersSwitchQueues = (
  origin: string, table: UpstreamRules, byDefault: boolean,
): boolean => entryOf(origin, table).account_queue_by_caller ?? byDefault

/** Whether the table has an origin, by its host alone or with its port. */
export function isInTable(origin: string, table: UpstreamRules): boolean {
  const { host, hostAndPort } = keysOf(origin)
  return Object.hasOwn(table, host) || Object.hasOwn(table, hostAndPort)
}

/** What the table says about an origin: host and port override host alone. */
function entryOf(origin: string, table: UpstreamRules): UpstreamRule {
  const { host, hostAndPort } = keysOf(origin)
  return { ...table[host], ...table[hostAndPort] }
}

function keysOf(origin: string): { readonly host: string; readonly hostAndPort: string } {
  const url = URL.parse(origin)
  const host = url?.hostname ?? ''
  const port = url?.port === '' ? DEFAULT_PORTS[url.protocol] : url?.port
  return { host, hostAndPort: `${host}:${port}` }
}
