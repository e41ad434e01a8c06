// The inside of each of the bench's processes: executes commands, answers them, and ends as soon as
// the bench has ended, for whatever reason.

import type { Call, Command, CommandMap, CpuTime, Reply } from './messages.ts'

/** The handlers of a role's commands. */
export type Handlers<Commands extends CommandMap<Commands>> = {
  readonly [Name in keyof Commands]: Commands[Name] extends
    Command<infer Argument, infer Result, infer Progress>
    ? (argument: Argument, progress: (value: Progress) => void) => Result | Promise<Result>
    : never
}

/** Serves until the bench disconnects. @param end is awaited then. */
export function serveRole<Commands extends CommandMap<Commands>>(
  handlers: Handlers<Commands>, end?: () => Promise<void>,
): void {
  const reply = (message: Reply): void => {
    if (process.connected) process.send?.(message)
  }
  const byName = handlers as unknown as Readonly<
    Record<string, (argument: unknown, progress: (value: unknown) => void) => unknown>>
  process.on('message', ({ id, name, argument }: Call) => {
    const run = async (): Promise<unknown> =>
      byName[name]?.(argument, (value) => reply({ kind: 'progress', id, value }))
    run().then(
      (value) => reply({ kind: 'result', id, value }),
      (error: unknown) => reply({ kind: 'failed', id, reason: String(error) }))
  })
  // Signals may be sent to the whole process group; this process stays until the bench ends it.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
  process.on('disconnect', () => {
    const exit = (): never => process.exit(0)
    if (end === undefined) exit()
    else end().then(exit, exit)
  })
  reply({ kind: 'ready' })
}

/** This process's processor time so far. */
export function cpuTime(): CpuTime {
  const { user, system } = process.cpuUsage()
  return { cpuUs: user + system }
}
