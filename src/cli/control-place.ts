// Where the server of a command is, for the commands that use a control socket or a data folder.

import type { Command } from 'commander'
import { type Checked, formatProblems } from '../base/problem.ts'
import { dataFolderOf, keysFileOf } from '../config/derive.ts'
import type { LoadedPart } from '../config/load.ts'
import type { SettingName } from '../config/settings.ts'
import { controlFile, dependsOnPort } from '../control/place.ts'

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

/** Where a server is. */
export interface ServerPlace {
  /** The path of its control socket. */
  readonly socket: string
  readonly dataFolder: string | undefined
  readonly keysFile: string | undefined
  /** It is the setting's, and not in the data folder. */
  readonly isKeysFileNamed: boolean
}

/** The settings that determine the path of a server's socket. */
export const PLACE_SETTINGS = ['control', 'data', 'journal', 'port'] as const
const PASSED_OVER = '(passed over: only where the server is matters here)'

/** Undefined after reporting a usage error. */
export function placeOf(command: Command, context: ControlContext): ServerPlace | undefined {
  const loaded = context.load(command, [...PLACE_SETTINGS, 'keysFile'])
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
  return {
    socket: controlFile(facts), dataFolder, keysFile: keysFileOf(config, context.cwd),
    isKeysFileNamed: config.keysFile !== '',
  }
}
