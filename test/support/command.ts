// Runs a command line of the program in this process, against a server of a test.

import { runProgram } from '../../src/cli/program.ts'

/** How it ended, and what it wrote. */
export interface CommandEnd {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** @param folder of the server whose control socket is used. */
export async function runCommand(folder: string, args: readonly string[]): Promise<CommandEnd> {
  let stdout = ''
  let stderr = ''
  const code = await runProgram(args, {
    env: { XDG_RUNTIME_DIR: folder }, cwd: folder,
    stdout: (text) => { stdout += text }, stderr: (text) => { stderr += text },
  })
  return { code, stdout, stderr }
}
