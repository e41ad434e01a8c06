// The process: runs the command line and ends with its exit code.

import { standardInput } from './cli/input.ts'
import { Output } from './cli/output.ts'
import { runProgram } from './cli/program.ts'

// A closed terminal must not crash the process.
process.stderr.on('error', () => {})
const output = new Output(process.stdout)

const exitCode = await runProgram(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  stdin: standardInput,
  isStdinTerminal: process.stdin.isTTY,
  stdout: output.write,
  output,
  stderr: (text) => {
    process.stderr.write(text)
  },
  flushErrors: () => new Promise((resolve) => { process.stderr.write('', () => resolve()) }),
})
// Explicit, since what a stopped server leaves open must not keep the process alive.
process.exit(exitCode)
