// The flags of `sluice submit` that make up one job.

import { randomUUID } from 'node:crypto'
import { type Command, Option } from 'commander'

/** What was typed, by the names that the command line's parser gives to flags. */
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
    .option('--user <id>', 'whose job it is (default "cli")')
    .option('--key <text>', 'the idempotent key (default a random one)')
    .option('--method <name>', 'the method (default GET, or POST with a body)')
    .addOption(new Option('--header <name: value>', 'a header; may be given several times')
      .argParser(collect))
    .option('--body <text>', 'the body')
    .option('--webhook <url>', 'where to report the outcome (default nowhere: it is polled for)')
    .option('--max-retries <n>', 'retries after the first attempt')
    .option('--execute-before <ms>', 'Unix milliseconds; begun by then, or failed')
}

const JOB_FLAGS = [
  'user', 'key', 'method', 'header', 'body', 'webhook', 'maxRetries', 'executeBefore',
] as const

/** The first flag that says something of a job, as it is typed; undefined when none does. */
export const jobFlagIn = (flags: JobFlags): string | undefined =>
  JOB_FLAGS.find((name) => flags[name] !== undefined)
    ?.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** The job, or what is wrong with a flag; the server judges the rest. */
export function jobOf(flags: JobFlags): { readonly job: object } | { readonly problem: string } {
  const headers: Record<string, string> = {}
  for (const text of flags.header ?? []) {
    const colon = text.indexOf(':')
    if (colon < 1) return { problem: `--header ${text.split(':')[0]} has no colon` }
    headers[text.slice(0, colon).trim()] = text.slice(colon + 1).trim()
  }
  const { body, webhook } = flags
  return { job: {
    user_id: flags.user ?? 'cli', idempotent_key: flags.key ?? randomUUID(), url: flags.url,
    method: flags.method ?? (body === undefined ? 'GET' : 'POST'), headers,
    ...(body === undefined ? {} : { body }),
    ...(webhook === undefined ? { delivery: 'poll' } : { webhook_url: webhook }),
    ...(flags.maxRetries === undefined ? {} : { max_retries: Number(flags.maxRetries) }),
    ...(flags.executeBefore === undefined
      ? {} : { execute_before: Number(flags.executeBefore) }),
  } }
}
