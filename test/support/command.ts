// Runs a command line of the program in this process, as if beside a server of a test.

import { runProgram } from '../../src/cli/program.ts'

/** How it ended, and what it wrote. */
export interface CommandEnd {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** @param folder where the server runs whose control socket is meant. */
export async function runCommand(folder: string, args: readonly string[]): Promise<CommandEnd> {
  let stdout = ''
  let stderr = ''
  const code = await runProgram(args, {
    env: { XDG_RUNTIME_DIR: folder }, cwd: folder,
    stdout: (text) => { stdout += text }, stderr: (text) => { stderr += text },
  })
  return { code, stdout, stderr }
}
