// Standard input of a command. A folder as input is an error, as for any tool of the system; Node
// takes it for input that has ended.

import { fstatSync, readSync } from 'node:fs'

/** What is piped in, as it comes; rejects when it cannot be read. */
export async function* standardInput(): AsyncIterable<Uint8Array> {
  const { fd } = process.stdin
  if (fstatSync(fd).isDirectory()) readSync(fd, new Uint8Array(1))
  yield* process.stdin as AsyncIterable<Uint8Array>
}
