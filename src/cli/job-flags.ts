// The flags of `sluice submit` that describe one job.

import { randomUUID } from 'node:crypto'
import { type Command, Option } from 'commander'
import { RETRIES_UNLIMITED } from '../../shards/memory/limits.ts'
import { RETRIES_MAX } from '../base/limits.ts'
import { showGiven } from '../base/problem.ts'
import { wholeNumber } from '../config/kinds.ts'

/** The given flags, by the names that the command line's parser uses. */
export interface JobFlags {
  readonly url?: string
  readonly user?: string
  readonly key?: string
  readonly method?: string
  readonly header?: readonly string[]
  readonly body?: string
  readonly webhook?: string
  readonly maxRetries?: string
  readonly executeBefore?: string
}

/** Adds the flags to a command. */
export function addJobFlags(command: Command): void {
  const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]
  command
    .option('--url <url>', 'where to send the job; without it jobs are read from standard input')
    .option('--user <id>', 'whose job it is (default "cli" without an API key, else ' +
      'the key\'s own user; one that was added with --users many has none and needs --user)')
    .option('--key <text>', 'the idempotent key (default a random one)')
    .option('--method <name>', 'the method (default GET, or POST with a body)')
    .addOption(new Option('--header <name: value>', 'a header; may be given several times')
      .argParser(collect))
    .option('--body <text>', 'the body')
    .option('--webhook <url>', 'where to report the result (default nowhere: it is polled for)')
    .option('--max-retries <n>', 'retries after the first attempt')
    .option('--execute-before <ms>', 'Unix time in milliseconds; begun by then, or failed')
}

const JOB_FLAGS = [
  'user', 'key', 'method', 'header', 'body', 'webhook', 'maxRetries', 'executeBefore',
] as const

/** The first flag that describes a job, as typed; undefined when none was given. */
export const jobFlagIn = (flags: JobFlags): string | undefined =>
  JOB_FLAGS.find((name) => flags[name] !== undefined)
    ?.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

type Made<T> = { readonly value: T } | { readonly problem: string }

/**
 * The job, or what is wrong with a flag; the server validates the rest.
 * @param user whose job it is unless a flag says so; undefined: the server knows.
 */
export function jobOf(
  flags: JobFlags, user: string | undefined,
): { readonly job: object } | { readonly problem: string } {
  const headers = headersOf(flags.header ?? [])
  if ('problem' in headers) return headers
  const retries = numberOf('--max-retries', flags.maxRetries, RETRIES)
  if ('problem' in retries) return retries
  const before = numberOf('--execute-before', flags.executeBefore, UNIX_MS)
  if ('problem' in before) return before
  const { body, webhook } = flags
  return { job: {
    user_id: flags.user ?? user, idempotent_key: flags.key ?? randomUUID(), url: flags.url,
    method: flags.method ?? (body === undefined ? 'GET' : 'POST'), headers: headers.value,
    ...(body === undefined ? {} : { body }),
    ...(webhook === undefined ? { delivery: 'poll' } : { webhook_url: webhook }),
    max_retries: retries.value, execute_before: before.value,
  } }
}

const RETRIES = wholeNumber(RETRIES_UNLIMITED, RETRIES_MAX)
const UNIX_MS = wholeNumber(1, Number.MAX_SAFE_INTEGER)

function numberOf(
  flag: string, text: string | undefined, kind: typeof RETRIES,
): Made<number | undefined> {
  if (text === undefined) return { value: undefined }
  const read = kind.schema.safeParse(text)
  return read.success ? { value: read.data }
    : { problem: `${flag}: got ${showGiven(text)}, expected ${kind.expected}` }
}

function headersOf(texts: readonly string[]): Made<Record<string, string>> {
  const headers = new Map<string, string>()
  const lower = new Set<string>()
  for (const text of texts) {
    const colon = text.indexOf(':')
    if (colon < 1) return { problem: `--header ${text.split(':')[0]} has no colon` }
    const name = text.slice(0, colon).trim()
    if (lower.has(name.toLowerCase())) return { problem: `--header ${name} is given twice` }
    lower.add(name.toLowerCase())
    headers.set(name, text.slice(colon + 1).trim())
  }
  return { value: Object.fromEntries(headers) }
}
