// `sluice reload` and `sluice drain`: the commands for a running server, sent over its control
// socket.

import os from 'node:os'
import type { Command } from 'commander'
import { callControl } from '../control/client.ts'
import { type ControlContext, PLACE_SETTINGS, placeOf } from './control-place.ts'
import { drainProgress } from './drain-progress.ts'

const EXIT_INTERRUPTED = 128 + os.constants.signals.SIGINT

/** Adds the commands. */
export function addControlCommands(program: Command, context: ControlContext): void {
  context.withSettings(program.command('reload'), PLACE_SETTINGS)
    .description('reload the code and the configuration of a running server')
    .action((_flags: object, command: Command) => runReload(command, context))
  context.withSettings(program.command('drain'), PLACE_SETTINGS)
    .description('drain a running server: it takes no new jobs, finishes all that it has, and ends')
    .option('--cancel', 'cancel a drain instead: the server takes jobs again')
    .action((flags: { readonly cancel?: boolean }, command: Command) =>
      flags.cancel === true ? runCancel(command, context) : runDrain(command, context))
}

const fileOf = (command: Command, context: ControlContext): string | undefined =>
  placeOf(command, context)?.socket

async function runReload(command: Command, context: ControlContext): Promise<void> {
  const file = fileOf(command, context)
  if (file === undefined) return
  const answer = await callControl(file, { command: 'reload' }).answer
  if (!answer.ok) return failed(answer.error, context)
  context.stdout(`reloaded in ${String(answer.fields?.['ms'])} ms\n`)
}

async function runCancel(command: Command, context: ControlContext): Promise<void> {
  const file = fileOf(command, context)
  if (file === undefined) return
  const answer = await callControl(file, { command: 'drain', cancel: true }).answer
  if (!answer.ok) return failed(answer.error, context)
  context.stdout('the drain is cancelled; new jobs are taken again\n')
}

async function runDrain(command: Command, context: ControlContext): Promise<void> {
  const file = fileOf(command, context)
  if (file === undefined) return
  const progress = drainProgress(context.stdout)
  const call = callControl(file, { command: 'drain' }, (told) => progress.update(told))
  let isInterrupted = false
  const onInterrupt = (): void => {
    isInterrupted = true
    call.leave()
  }
  process.once('SIGINT', onInterrupt)
  const answer = await call.answer
  process.off('SIGINT', onInterrupt)
  progress.end()
  if (isInterrupted) {
    context.stderr('sluice: the drain goes on without this command; ' +
      'sluice drain watches it again, sluice drain --cancel ends it\n')
    return context.exit(EXIT_INTERRUPTED)
  }
  if (!answer.ok) return failed(answer.error, context)
  context.stdout('drained: nothing is left, and the server ends\n')
}

function failed(error: string, { exit, failedExitCode, stderr }: ControlContext): void {
  stderr(`sluice: ${error}\n`)
  exit(failedExitCode)
}
