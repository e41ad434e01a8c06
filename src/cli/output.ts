// Standard output of a command: a write error ends the command. A closed pipe ends it silently, as
// for any Unix tool (`sluice watch ID | head -1`); any other error is reported.

import os from 'node:os'
import type { Writable } from 'node:stream'

const EXIT_FAILED = 1
const EXIT_NO_READER = 128 + os.constants.signals.SIGPIPE

/** A stream that may fail. */
export class Output {
  readonly #stream: Writable
  readonly #broken = Promise.withResolvers<Error>()
  #error: Error | undefined
  /** Resolves when the last write is complete. */
  #written: Promise<void> = Promise.resolve()

  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', (error) => {
      this.#error ??= error
      this.#broken.resolve(error)
    })
  }

  /** Resolves with the first write error. */
  get broken(): Promise<Error> {
    return this.#broken.promise
  }

  readonly write = (text: string): void => {
    if (this.#error !== undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#written = promise
    this.#stream.write(text, () => resolve())
  }

  /** Resolves when everything is written, or has failed; with the error, if any. */
  async flush(): Promise<Error | undefined> {
    await this.#written
    return this.#error
  }
}

/** The exit code after an error of standard output; reports it unless the pipe was closed. */
export function endOfOutput(error: Error, stderr: (text: string) => void): number {
  if ('code' in error && error.code === 'EPIPE') return EXIT_NO_READER
  stderr(`sluice: cannot write to standard output: ${error.message}\n`)
  return EXIT_FAILED
}
