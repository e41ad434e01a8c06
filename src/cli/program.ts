// The command line: commands, flags and help texts; the flags of settings come from their table.
// Exit codes: 0 success, 1 failure while running, 2 wrong usage or configuration.

import { Command, CommanderError, Option } from 'commander'
import { lookEvery } from '../../shards/base/clock.ts'
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE } from '../base/exit-codes.ts'
import { type Checked, formatProblems } from '../base/problem.ts'
import { VERSION } from '../base/version.ts'
import { configJson, configYaml } from '../config/effective.ts'
import { type LoadedConfig, loadConfig, loadPart, type Sources } from '../config/load.ts'
import { readMachine } from '../config/machine.ts'
import {
  CONFIG_FILE_DEFAULT, CONFIG_FILE_ENV, SETTING_ENTRIES, type Setting, type SettingName,
} from '../config/settings.ts'
import { addBench } from './bench.ts'
import type { ControlContext } from './control-place.ts'
import { addControlCommands } from './control.ts'
import { addJobCommands } from './jobs.ts'
import { addKeyCommands } from './keys.ts'
import { endOfOutput, type Output } from './output.ts'

/** The program's input and output. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Standard input; by default, empty. */
  readonly stdin?: () => AsyncIterable<Uint8Array>
  /** Whether standard input is a terminal. */
  readonly isStdinTerminal?: boolean
  readonly stdout: (text: string) => void
  /** The stream behind `stdout`: a write error ends a command, but not a server. */
  readonly output?: Output
  readonly stderr: (text: string) => void
  /** Resolves when standard error has been flushed, or cannot be; by default, at once. */
  readonly flushErrors?: () => Promise<void>
}

/** How long a server that ends waits for its output to be read. */
const UNREAD_MS_MAX = 1000

/** Runs one command line, without the program's name; resolves with the exit code. */
export async function runProgram(
  args: readonly string[], context: CommandContext,
): Promise<number> {
  let exitCode = EXIT_OK
  let isServer = false
  const program = buildProgram(args, context, (code) => {
    exitCode = code
  }, () => {
    isServer = true
  })
  const { flushErrors, output, stderr } = context
  const parse = async (): Promise<unknown> =>
    args.length === 0 ? program.outputHelp() : program.parseAsync(args, { from: 'user' })
  try {
    const parsing = parse()
    await Promise.race([parsing, output?.broken.then(() => isServer ? parsing : undefined) ??
      parsing])
  } catch (error) {
    if (!(error instanceof CommanderError)) return Promise.reject(error)
    exitCode = error.exitCode === 0 ? EXIT_OK : EXIT_USAGE
  }
  const flush = async (): Promise<number> => {
    const broken = await output?.flush()
    const code = broken === undefined || isServer ? exitCode : endOfOutput(broken, stderr)
    await flushErrors?.()
    return code
  }
  return isServer ? Promise.race([flush(), atLatest(exitCode)]) : flush()
}

const atLatest = (exitCode: number): Promise<number> => new Promise((resolve) => {
  const stop = lookEvery(UNREAD_MS_MAX, () => {
    stop()
    resolve(exitCode)
  })
})

function buildProgram(
  args: readonly string[], context: CommandContext, exit: (code: number) => void,
  onServe: () => void,
): Command {
  const { stdout, stderr } = context
  const program = new Command('sluice')
    .description('A queue that sends HTTP requests at the pace the receiving API asks for.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .configureOutput({ writeOut: stdout, writeErr: stderr })
    .exitOverride()
    .showHelpAfterError('Try --help.')

  withSettings(program.command('serve'))
    .description('run the server')
    .option('--take-over', 'take over from the server that runs on the same data folder and port')
    .action(async ({ takeOver }: { takeOver?: boolean }, command: Command) => {
      onServe()
      const loaded = load(command, context)
      if (!loaded.ok) return exit(refuse(loaded, stderr))
      // Loaded only here, so that help and config work without the native modules.
      const { serve } = await import('../start/serve.ts')
      return exit(await serve(loaded.value, context, takeOver === true))
    })

  withSettings(program.command('config'))
    .description('print the configuration in effect as a configuration file, with the source ' +
      'of each value')
    .option('--json', 'print it as JSON, without sources')
    .action((options: { json?: boolean }, command: Command) => {
      const loaded = load(command, context)
      if (!loaded.ok) return exit(refuse(loaded, stderr))
      stdout(options.json === true ? configJson(loaded.value) : configYaml(loaded.value))
    })

  addJobCommands(program, {
    env: context.env, cwd: context.cwd, stdin: context.stdin ?? nothing,
    isStdinTerminal: context.isStdinTerminal === true, stdout, stderr, exit,
    failedExitCode: EXIT_FAILED, usageExitCode: EXIT_USAGE,
  })
  const control: ControlContext = {
    env: context.env, cwd: context.cwd, stdout, stderr, exit, withSettings,
    failedExitCode: EXIT_FAILED, usageExitCode: EXIT_USAGE,
    load: (command, names) => loadPart(sourcesOf(command, context), names),
  }
  addControlCommands(program, control)
  addKeyCommands(program, control)
  addBench(program, { args, stdout, stderr, exit, usageExitCode: EXIT_USAGE })
  return program
}

async function* nothing(): AsyncIterable<Uint8Array> {}

function refuse(result: Checked<unknown> & { ok: false }, stderr: (text: string) => void): number {
  stderr(formatProblems(result.problems))
  return EXIT_USAGE
}

/** @param names the settings that the command has; by default, all. */
function withSettings(command: Command, names?: readonly SettingName[]): Command {
  command.addOption(new Option('--config <file>', 'the configuration file ' +
    `(env ${CONFIG_FILE_ENV}; default ./${CONFIG_FILE_DEFAULT} if it is there)`))
  for (const [name, setting] of SETTING_ENTRIES) {
    if (names?.includes(name) === false) continue
    const { argument } = setting.kind
    const flag = argument === '' ? `--${setting.flag}` : `--${setting.flag} ${argument}`
    command.addOption(new Option(flag, describe(setting)))
    if (argument === '') command.addOption(new Option(`--no-${setting.flag}`).hideHelp())
  }
  return command
}

function describe(setting: Setting): string {
  const fallback = setting.fallbackText ?? showDefault(setting)
  return `${setting.description} (env ${setting.env}; default ${fallback})`
}

/** For defaults that do not depend on the machine; the others have a fallbackText. */
function showDefault(setting: Setting): string {
  return setting.kind.format(setting.fallback({ cores: 1, memoryBytes: 0, descriptors: 0 }))
}

const load = (command: Command, context: CommandContext): Checked<LoadedConfig> =>
  loadConfig(sourcesOf(command, context))

function sourcesOf(command: Command, { env, cwd }: CommandContext): Sources {
  const given = command.opts<Record<string, string | boolean | undefined>>()
  const flags: Partial<Record<SettingName, string>> = {}
  for (const [name, setting] of SETTING_ENTRIES) {
    const value = given[new Option(`--${setting.flag}`).attributeName()]
    if (value !== undefined) flags[name] = String(value)
  }
  const configFile = given['config']
  return {
    flags, env, cwd, machine: readMachine(),
    ...(typeof configFile === 'string' ? { configFile } : {}),
  }
}
