// `sluice submit`, `status`, `watch` and `cancel`: the commands that talk to a running server.

import type { Command } from 'commander'
import { ClientSocket, type ServerMessage } from './client-socket.ts'
import { addJobFlags, type JobFlags, jobFlagIn, jobOf } from './job-flags.ts'
import { linesOf } from './lines.ts'
import { submitProgress } from './submit-progress.ts'
import { SubmitRun } from './submit-run.ts'

/** What the commands need of the program around them. */
export interface JobsSurroundings {
  readonly stdin: () => AsyncIterable<Uint8Array>
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly exit: (code: number) => void
  readonly failedExitCode: number
  readonly usageExitCode: number
}

const SERVER_DEFAULT = 'http://127.0.0.1:4000'

/** Flags of every command. */
interface ServerFlags {
  readonly server: string
}

interface SubmitFlags extends ServerFlags, JobFlags {
  readonly wait?: boolean
}

/** Adds the commands. */
export function addJobCommands(program: Command, surroundings: JobsSurroundings): void {
  const command = (name: string, description: string): Command => program.command(name)
    .description(description)
    .option('--server <url>', 'the server', SERVER_DEFAULT)
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
function serverOf({ server }: ServerFlags, around: JobsSurroundings): URL | undefined {
  const url = URL.parse(server)
  if (url !== null && /^https?:$/.test(url.protocol)) return url
  around.stderr(`sluice: --server has to be an address such as ${SERVER_DEFAULT}\n`)
  around.exit(around.usageExitCode)
  return undefined
}

async function runSubmit(flags: SubmitFlags, around: JobsSurroundings): Promise<void> {
  const server = serverOf(flags, around)
  if (server === undefined) return
  let jobs: AsyncIterable<object | undefined>
  const stray = flags.url === undefined ? jobFlagIn(flags) : undefined
  if (stray !== undefined) {
    around.stderr(`sluice: --${stray} is about one job, which needs --url\n`)
    return around.exit(around.usageExitCode)
  }
  if (flags.url === undefined) jobs = parsed(linesOf(around.stdin()))
  else {
    const made = jobOf(flags)
    if ('problem' in made) {
      around.stderr(`sluice: ${made.problem}\n`)
      return around.exit(around.usageExitCode)
    }
    jobs = one(made.job)
  }
  const progress = submitProgress(flags.wait === true)
  const run = new SubmitRun({
    server, wait: flags.wait === true, stdout: around.stdout, stderr: around.stderr,
    onProgress: (counts) => progress.update(counts),
  })
  const isWell = await run.run(jobs)
  progress.end()
  if (!isWell) around.exit(around.failedExitCode)
}

async function* one(job: object): AsyncIterable<object> {
  yield job
}

/** Each line's object; undefined for what is none. */
async function* parsed(lines: AsyncIterable<string>): AsyncIterable<object | undefined> {
  for await (const line of lines) {
    try {
      const value = JSON.parse(line) as unknown
      yield typeof value === 'object' && value !== null && !Array.isArray(value)
        ? value : undefined
    } catch {
      yield undefined
    }
  }
}

/** One request about one job; what is answered is printed. */
async function ask(
  method: string, id: string, flags: ServerFlags, around: JobsSurroundings,
): Promise<void> {
  const server = serverOf(flags, around)
  if (server === undefined) return
  try {
    const response = await fetch(new URL(`/jobs/${encodeURIComponent(id)}`, server), { method })
    const value = await response.json() as { readonly error?: string }
    if (response.ok) return around.stdout(`${JSON.stringify(value, null, 2)}\n`)
    around.stderr(`sluice: ${value.error ?? `the server answered ${response.status}`}\n`)
  } catch {
    around.stderr(`sluice: cannot talk to ${server.origin}\n`)
  }
  around.exit(around.failedExitCode)
}

async function runWatch(
  ids: readonly string[], flags: ServerFlags, around: JobsSurroundings,
): Promise<void> {
  const server = serverOf(flags, around)
  if (server === undefined) return
  const open = new Set(ids)
  const { promise, resolve } = Promise.withResolvers<boolean>()
  let isWell = true
  const onMessage = (message: ServerMessage): void => {
    const { job_id: jobId, type } = message
    const { type: event, ...rest } = message
    if (type === 'error') around.stderr(`sluice: ${String(jobId ?? '')} ${String(rest['error'])}\n`)
    else around.stdout(`${JSON.stringify({ event, ...rest })}\n`)
    const isOver = ['completed', 'failed', 'cancelled', 'error'].includes(type)
    if (isOver) isWell &&= type === 'completed'
    if (isOver && (open.delete(String(jobId)), open.size === 0)) resolve(isWell)
  }
  const onClose = (reason: string): void => {
    around.stderr(`sluice: ${reason}\n`)
    resolve(false)
  }
  const socket = await ClientSocket.open(server, { onMessage, onClose })
  if (typeof socket === 'string') onClose(socket)
  else for (const id of open) socket.send({ type: 'watch', job_id: id })
  if (!await promise) around.exit(around.failedExitCode)
  if (typeof socket !== 'string') socket.close()
}
