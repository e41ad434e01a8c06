// What the server under test can do: read from its help, so that a scenario which needs more is
// left out and says so.

import { SluiceProcess } from '../support/server.ts'

/** How a server keeps its jobs on disk. */
export type JournalMode = 'off' | 'interval' | 'always'

/** What there is. */
export interface Abilities {
  readonly journal: boolean
  readonly reload: boolean
  readonly takeOver: boolean
}

let known: Promise<Abilities> | undefined

/** Asks the program, once. */
export function abilities(): Promise<Abilities> {
  known ??= Promise.all([helpOf(['--help']), helpOf(['serve', '--help'])])
    .then(([commands, serve]) => ({
      journal: serve.includes('--journal'),
      reload: /^ +reload\b/m.test(commands),
      takeOver: serve.includes('--take-over'),
    }))
  return known
}

async function helpOf(args: readonly string[]): Promise<string> {
  const program = new SluiceProcess(args)
  await program.ended()
  return program.stdout
}
