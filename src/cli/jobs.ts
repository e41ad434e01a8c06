// `sluice submit`, `status`, `watch` and `cancel`: the commands that talk to a running server.

import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { Prng } from '../../shards/base/prng.ts'
import type { Environment } from '../config/environment.ts'
import { SERVER_ENV } from '../config/settings.ts'
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

/** What the commands need of the program around them. */
export interface JobsSurroundings {
  readonly env: Environment
  readonly stdin: () => AsyncIterable<Uint8Array>
  /** Whether somebody would have to type what is read. */
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
}

interface SubmitFlags extends ServerFlags, JobFlags {
  readonly wait?: boolean
}

const INTERRUPTED = 'interrupted; what was accepted goes on'
const TYPE_LINES = 'reading jobs from this terminal, one JSON object to a line; Ctrl-D ends them ' +
  '(--url submits one job from flags)'

/** Adds the commands. */
export function addJobCommands(program: Command, surroundings: JobsSurroundings): void {
  const command = (name: string, description: string): Command => program.command(name)
    .description(description)
    .option('--server <url>', `the server (env ${SERVER_ENV}; default ${SERVER_DEFAULT})`)
  const submit = command('submit',
    'submit one job from flags, or many as lines of JSON from standard input; prints ids')
    .option('--wait', 'wait for the outcomes and print these, as lines of JSON')
  addJobFlags(submit)
  submit.action((flags: SubmitFlags) => runSubmit(flags, surroundings))
  command('status', 'show a job').argument('<id>')
    .action((id: string, flags: ServerFlags) => ask('GET', id, flags, surroundings))
  command('cancel', 'cancel a job that has not been sent').argument('<id>')
    .action((id: string, flags: ServerFlags) => ask('DELETE', id, flags, surroundings))
  command('watch', 'print what happens to jobs, as lines of JSON, until they are finished')
    .argument('<id...>')
    .action((ids: string[], flags: ServerFlags) => runWatch(ids, flags, surroundings))
}

/** The address, or undefined once the usage error has been told. */
function serverOf({ server }: ServerFlags, around: JobsSurroundings): ServerAddress | undefined {
  const read = serverAddress(server, around.env)
  if (read.ok) return read.server
  around.stderr(`sluice: ${read.problem}\n`)
  around.exit(around.usageExitCode)
  return undefined
}

/** @param say writes a line. */
const connectionTo = (server: ServerAddress, say: (line: string) => void): ConnectionParts => ({
  open: (listener) => ClientSocket.open(server, listener), shown: server.shown,
  pauses: systemPauses, prng: new Prng(randomBytes(4).readUInt32LE()),
  say: (text) => say(`sluice: ${text}`),
})

async function runSubmit(flags: SubmitFlags, around: JobsSurroundings): Promise<void> {
  const server = serverOf(flags, around)
  if (server === undefined) return
  const lines = linesFrom(flags, around)
  if ('problem' in lines) {
    around.stderr(`sluice: ${lines.problem}\n`)
    return around.exit(around.usageExitCode)
  }
  const progress = submitProgress(flags.wait === true, systemPauses)
  const run = new SubmitRun({
    ...connectionTo(server, (line) => progress.above(() => around.stderr(`${line}\n`))),
    wait: flags.wait === true,
    // Only what is printed on the same terminal gets in the way of the bar.
    stdout: (text) => process.stdout.isTTY
      ? progress.above(() => around.stdout(text)) : around.stdout(text),
    onProgress: (counts) => progress.update(counts),
    nameOf: (line) => flags.url === undefined ? `line ${line}: ` : '',
  })
  const interrupts = onInterrupt(() => run.stop(INTERRUPTED))
  const isWell = await run.run(lines)
  interrupts.end()
  progress.end()
  if (!isWell) around.exit(interrupts.exitCode ?? around.failedExitCode)
}

/** The jobs, or what is wrong with the flags. */
function linesFrom(flags: SubmitFlags, around: JobsSurroundings):
  AsyncIterable<JobLine> | { readonly problem: string } {
  if (flags.url !== undefined) {
    const made = jobOf(flags)
    return 'problem' in made ? made : one(made.job)
  }
  const stray = jobFlagIn(flags)
  if (stray !== undefined) return { problem: `--${stray} is about one job, which needs --url` }
  if (around.isStdinTerminal) around.stderr(`sluice: ${TYPE_LINES}\n`)
  return jobLines(around.stdin())
}

async function* one(job: object): AsyncIterable<JobLine> {
  yield { number: 1, text: JSON.stringify(job) }
}

/** One request about one job; what is answered is printed. */
async function ask(
  method: string, id: string, flags: ServerFlags, around: JobsSurroundings,
): Promise<void> {
  const server = serverOf(flags, around)
  if (server === undefined) return
  try {
    const { headers } = server
    const response = await fetch(server.at(`jobs/${encodeURIComponent(id)}`), { method, headers })
    const value = await response.json() as { readonly error?: string }
    if (response.ok) return around.stdout(`${JSON.stringify(value, null, 2)}\n`)
    around.stderr(`sluice: ${value.error ?? `the server answered ${response.status}`}\n`)
  } catch {
    around.stderr(`sluice: cannot talk to ${server.shown}\n`)
  }
  around.exit(around.failedExitCode)
}

async function runWatch(
  ids: readonly string[], flags: ServerFlags, around: JobsSurroundings,
): Promise<void> {
  const server = serverOf(flags, around)
  if (server === undefined) return
  const run = new WatchRun({
    ...connectionTo(server, (line) => around.stderr(`${line}\n`)), stdout: around.stdout,
  })
  const interrupts = onInterrupt(() => run.stop(INTERRUPTED))
  const isWell = await run.run(ids)
  interrupts.end()
  if (!isWell) around.exit(interrupts.exitCode ?? around.failedExitCode)
}
