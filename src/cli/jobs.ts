// `sluice submit`, `status`, `watch` and `cancel`: the commands for jobs on a running server.

import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { Prng } from '../../shards/base/prng.ts'
import type { Environment } from '../config/environment.ts'
import { SERVER_ENV } from '../config/settings.ts'
import { KEY_FLAG, KEY_FLAG_HELP, readClientKey } from './client-key.ts'
import { ClientSocket } from './client-socket.ts'
import type { ConnectionParts } from './connection.ts'
import { onInterrupt } from './interrupts.ts'
import { addJobFlags, type JobFlags, jobFlagIn, jobOf } from './job-flags.ts'
import { type JobLine, jobLines } from './job-lines.ts'
import { systemPauses } from './pauses.ts'
import { SERVER_DEFAULT, type ServerAddress, serverAddress } from './server-address.ts'
import { submitProgress } from './submit-progress.ts'
import { SubmitRun } from './submit-run.ts'
import { WatchRun } from './watch-run.ts'

/** What the commands need of the program. */
export interface JobsContext {
  readonly env: Environment
  /** Base of relative paths. */
  readonly cwd: string
  readonly stdin: () => AsyncIterable<Uint8Array>
  /** Whether standard input is a terminal. */
  readonly isStdinTerminal: boolean
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly exit: (code: number) => void
  readonly failedExitCode: number
  readonly usageExitCode: number
}

/** Flags of every command. */
interface ServerFlags {
  readonly server?: string
  readonly keyFile?: string
}

interface SubmitFlags extends ServerFlags, JobFlags {
  readonly wait?: boolean
}

/** Whose jobs are those of a command without a key. */
const USER_DEFAULT = 'cli'
const INTERRUPTED = 'interrupted; what was accepted goes on'
const TYPE_LINES = 'reading jobs from this terminal, one JSON object to a line; Ctrl-D ends them ' +
  '(--url submits one job from flags)'

/** Adds the commands. */
export function addJobCommands(program: Command, context: JobsContext): void {
  const command = (name: string, description: string): Command => program.command(name)
    .description(description)
    .option('--server <url>', `the server (env ${SERVER_ENV}; default ${SERVER_DEFAULT})`)
    .option(KEY_FLAG, KEY_FLAG_HELP)
  const submit = command('submit',
    'submit one job from flags, or many as lines of JSON from standard input; prints ids')
    .option('--wait', 'wait for the results and print these, as lines of JSON')
  addJobFlags(submit)
  submit.action((flags: SubmitFlags) => runSubmit(flags, context))
  command('status', 'show a job').argument('<id>')
    .action((id: string, flags: ServerFlags) => ask('GET', id, flags, context))
  command('cancel', 'cancel a job that has not been sent').argument('<id>')
    .action((id: string, flags: ServerFlags) => ask('DELETE', id, flags, context))
  command('watch', 'print the events of jobs, as lines of JSON, until they are finished')
    .argument('<id...>')
    .action((ids: string[], flags: ServerFlags) => runWatch(ids, flags, context))
}

/** The address, or undefined after reporting a usage error. */
function serverOf(
  { keyFile, server }: ServerFlags, context: JobsContext,
): ServerAddress | undefined {
  const key = readClientKey(keyFile, context)
  const read = 'problem' in key ? { ok: false as const, ...key }
    : serverAddress(server, key.key, context.env)
  if (read.ok) return read.server
  context.stderr(`sluice: ${read.problem}\n`)
  context.exit(context.usageExitCode)
  return undefined
}

/** @param say writes a line. */
const connectionTo = (server: ServerAddress, say: (line: string) => void): ConnectionParts => ({
  open: (listener) => ClientSocket.open(server, listener), shown: server.shown,
  pauses: systemPauses, prng: new Prng(randomBytes(4).readUInt32LE()),
  say: (text) => say(`sluice: ${text}`),
})

async function runSubmit(flags: SubmitFlags, context: JobsContext): Promise<void> {
  const server = serverOf(flags, context)
  if (server === undefined) return
  const lines = linesFrom(flags, server, context)
  if ('problem' in lines) {
    context.stderr(`sluice: ${lines.problem}\n`)
    return context.exit(context.usageExitCode)
  }
  const progress = submitProgress(flags.wait === true, systemPauses)
  const run = new SubmitRun({
    ...connectionTo(server, (line) => progress.above(() => context.stderr(`${line}\n`))),
    wait: flags.wait === true,
    // Only output on the same terminal disturbs the bar.
    stdout: (text) => process.stdout.isTTY
      ? progress.above(() => context.stdout(text)) : context.stdout(text),
    onProgress: (counts) => progress.update(counts),
    nameOf: (line) => flags.url === undefined ? `line ${line}: ` : '',
  })
  const interrupts = onInterrupt(() => run.stop(INTERRUPTED))
  const isWell = await run.run(lines)
  interrupts.end()
  progress.end()
  if (!isWell) context.exit(interrupts.exitCode ?? context.failedExitCode)
}

/** The jobs, or what is wrong with the flags. */
function linesFrom(flags: SubmitFlags, server: ServerAddress, context: JobsContext):
  AsyncIterable<JobLine> | { readonly problem: string } {
  if (flags.url !== undefined) {
    const made = jobOf(flags, server.hasKey ? undefined : USER_DEFAULT)
    return 'problem' in made ? made : one(made.job)
  }
  const stray = jobFlagIn(flags)
  if (stray !== undefined) return { problem: `--${stray} is about one job, which needs --url` }
  if (context.isStdinTerminal) context.stderr(`sluice: ${TYPE_LINES}\n`)
  return jobLines(context.stdin())
}

async function* one(job: object): AsyncIterable<JobLine> {
  yield { number: 1, text: JSON.stringify(job) }
}

/** Sends one request about a job, and prints the answer. */
async function ask(
  method: string, id: string, flags: ServerFlags, context: JobsContext,
): Promise<void> {
  const server = serverOf(flags, context)
  if (server === undefined) return
  try {
    const { headers } = server
    const response = await fetch(server.at(`jobs/${encodeURIComponent(id)}`), { method, headers })
    const value = await response.json() as { readonly error?: string }
    if (response.ok) return context.stdout(`${JSON.stringify(value, null, 2)}\n`)
    context.stderr(`sluice: ${value.error ?? `the server answered ${response.status}`}\n`)
  } catch {
    context.stderr(`sluice: cannot talk to ${server.shown}\n`)
  }
  context.exit(context.failedExitCode)
}

async function runWatch(
  ids: readonly string[], flags: ServerFlags, context: JobsContext,
): Promise<void> {
  const server = serverOf(flags, context)
  if (server === undefined) return
  const run = new WatchRun({
    ...connectionTo(server, (line) => context.stderr(`${line}\n`)), stdout: context.stdout,
  })
  const interrupts = onInterrupt(() => run.stop(INTERRUPTED))
  const isWell = await run.run(ids)
  interrupts.end()
  if (!isWell) context.exit(interrupts.exitCode ?? context.failedExitCode)
}
