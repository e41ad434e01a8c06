// The process: runs the command line and ends with its exit code.

import { runProgram } from './cli/program.ts'

// A reader that went away (`sluice config | head`) is no reason to crash.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})

const exitCode = await runProgram(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  stdin: () => process.stdin,
  stdout: (text) => {
    process.stdout.write(text)
  },
  stderr: (text) => {
    process.stderr.write(text)
  },
})
// What a pipe has not taken yet would be lost.
await Promise.all([process.stdout, process.stderr].map((stream) =>
  new Promise<void>((resolve) => { stream.write('', () => resolve()) })))
// Said aloud: what a stopped server leaves open must not keep the process.
process.exit(exitCode)
