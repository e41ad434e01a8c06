// `sluice reload` and `sluice drain`: the commands for a running server, sent over its control
// socket.

import os from 'node:os'
import type { Command } from 'commander'
import { type Checked, formatProblems } from '../base/problem.ts'
import { dataFolderOf } from '../config/derive.ts'
import type { LoadedPart } from '../config/load.ts'
import type { SettingName } from '../config/settings.ts'
import { callControl } from '../control/client.ts'
import { controlFile, dependsOnPort } from '../control/place.ts'
import { drainProgress } from './drain-progress.ts'

/** What the commands need of the program. */
export interface ControlContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly exit: (code: number) => void
  readonly failedExitCode: number
  readonly usageExitCode: number
  /** Adds the flags of some settings, and --config. */
  readonly withSettings: (command: Command, names: readonly SettingName[]) => Command
  readonly load: <Name extends SettingName>(
    command: Command, names: readonly Name[]) => Checked<LoadedPart<Name>>
}

/** The settings that determine the path of a server's socket. */
const PLACE_SETTINGS = ['control', 'data', 'journal', 'port'] as const
const PASSED_OVER = '(passed over: only where the server is matters here)'
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

/** The socket's path, or undefined after reporting a usage error. */
function fileOf(command: Command, context: ControlContext): string | undefined {
  const loaded = context.load(command, PLACE_SETTINGS)
  const refuse = (text: string): undefined => {
    context.stderr(text)
    context.exit(context.usageExitCode)
  }
  if (!loaded.ok) return refuse(formatProblems(loaded.problems))
  const { config, passedOver } = loaded.value
  if (passedOver.length > 0) context.stderr(`${formatProblems(passedOver)}  ${PASSED_OVER}\n`)
  const { control, port } = config
  const dataFolder = dataFolderOf(config, context.cwd)
  const facts = { control, dataFolder, port, env: context.env, cwd: context.cwd }
  if (dependsOnPort(facts) && port === 0) {
    return refuse('sluice: which server? name its --port or its --control socket\n')
  }
  return controlFile(facts)
}

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
