// `sluice bench`: its commands and flags. The bench itself is loaded when one of them is run.

import { type Command, Option } from 'commander'
import { SCENARIOS, type ScenarioName } from '../../bench/load/settings.ts'
import { formatProblems } from '../base/problem.ts'
import { type GivenOptions, benchSettings, optionHelps } from './bench-options.ts'

const DESCRIPTIONS: Readonly<Record<ScenarioName | 'all', string>> = {
  ingest: 'how many jobs a second are accepted, beside a bare uWebSockets.js server',
  drain: 'how fast a queue empties, webhooks included, beside bare undici',
  pace: 'whether upstreams are sent to at the pace that they ask for',
  fairness: 'whether accounts share an upstream evenly when one of them floods it',
  density: 'how much memory a queued job takes',
  lanes: 'whether one core keeps up with the sends of very many account queues',
  journal: 'what the journal costs: jobs accepted with --journal interval and always, beside off',
  soak: 'whether heap and pauses of the main thread stay as they are under half load',
  all: 'all of these, with moderate sizes',
}

/** What the bench commands need of the program. */
export interface BenchContext {
  /** The arguments after `sluice`. */
  readonly args: readonly string[]
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly exit: (code: number) => void
  readonly usageExitCode: number
}

/** Adds the command with its subcommands. */
export function addBench(program: Command, context: BenchContext): void {
  const bench = program.command('bench')
    .description('measure a server with a load generator, an upstream and a receiver of its own')
  for (const name of [...SCENARIOS, 'all'] as const) {
    const scenarios = name === 'all' ? SCENARIOS : [name]
    const command = bench.command(name)
      .description(DESCRIPTIONS[name])
      .argument('[serve-flags...]', 'behind --: flags for the server that the bench starts')
    for (const { flags, description } of optionHelps(scenarios)) {
      command.addOption(new Option(flags, description))
    }
    if (name === 'ingest') {
      command.option('--ws', 'over WebSocket, in batches, beside HTTP in the same run')
    }
    if (name === 'drain') {
      command.option('--tls', 'over TLS to the upstream and the receiver, whose certificate ' +
        'the server trusts')
    }
    command
      .option('--target <url>', 'measure a server that runs already; what needs its process is ' +
        'left out')
      .option('--serve-flags <text>', 'the same as behind --, as one text with blanks')
      .option('--json <file>', 'write everything as JSON')
      .option('--html <file>', 'write a page with charts')
      .option('--record', 'write the figures to bench/RESULTS.md')
      .action((serveFlags: string[], given: GivenOptions) =>
        runCommand(scenarios, serveFlags, given, context))
  }
}

async function runCommand(
  names: readonly ScenarioName[], behind: readonly string[], given: GivenOptions,
  { args, stdout, stderr, exit, usageExitCode }: BenchContext,
): Promise<void> {
  const serveFlags = [...blankSeparated(given['serveFlags']), ...behind]
  const scenarios = []
  for (const name of names) {
    const settings = benchSettings(name, given, serveFlags, names.length > 1)
    if (!settings.ok) {
      stderr(formatProblems(settings.problems))
      return exit(usageExitCode)
    }
    scenarios.push({ name, settings: settings.value })
  }
  const { runBench } = await import('../../bench/load/run.ts')
  exit(await runBench({
    scenarios, args, stdout, stderr, record: given['record'] === true,
    jsonFile: textOf(given['json']), htmlFile: textOf(given['html']),
  }))
}

const textOf = (value: string | boolean | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined

const blankSeparated = (value: string | boolean | undefined): readonly string[] =>
  textOf(value)?.split(/\s+/).filter((part) => part !== '') ?? []
