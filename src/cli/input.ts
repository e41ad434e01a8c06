// Standard input of a command. A folder as input is an error, as for any Unix tool; Node treats it
// as empty input.

import { fstatSync, readSync } from 'node:fs'

/** The input in chunks, as they arrive; rejects when it cannot be read. */
export async function* standardInput(): AsyncIterable<Uint8Array> {
  const { fd } = process.stdin
  if (fstatSync(fd).isDirectory()) readSync(fd, new Uint8Array(1))
  yield* process.stdin as AsyncIterable<Uint8Array>
}
