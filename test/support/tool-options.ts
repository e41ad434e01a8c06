// The command lines of the project's own tools (npm run sim, victim, torture, fuzz): --help prints
// the usage, and an unknown option is reported with it, not with a stack trace.

import { type ParseArgsConfig, parseArgs } from 'node:util'

type Options = NonNullable<ParseArgsConfig['options']>
type Read<T extends Options> = ReturnType<typeof parseArgs<{ options: T, allowPositionals: true }>>

const EXIT_USAGE = 2

/** A tool, by its usage text. */
export class Tool {
  readonly #usage: string

  /** @param usage the command line, and what it does. */
  constructor(usage: string) {
    this.#usage = usage
  }

  /** The given options; ends the process if they are invalid, or after --help. */
  read<const T extends Options>(options: T, positionalsMax = 0): Read<T> {
    const args = process.argv.slice(2)
    if (args.includes('--help') || args.includes('-h')) {
      console.log(this.#usage)
      process.exit(0)
    }
    try {
      const read = parseArgs({ args, options, allowPositionals: true })
      const extra = read.positionals[positionalsMax]
      return extra === undefined ? read : this.refuse(`unexpected '${extra}'`)
    } catch (error) {
      return this.refuse((error as Error).message)
    }
  }

  /** A whole number of at most 32 bits. */
  count(name: string, text: string): number {
    const count = Number(text)
    return /^\d+$/.test(text) && count < 2 ** 32
      ? count : this.refuse(`${name} is a whole number, not '${text}'`)
  }

  /** Ends the process with an error. */
  refuse(why: string): never {
    console.error(`${why}\n\n${this.#usage}`)
    process.exit(EXIT_USAGE)
  }
}
