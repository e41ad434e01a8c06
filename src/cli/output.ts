// Standard output of a command: what cannot be written ends it. A reader that went away ends it as
// quietly as any tool of the system (`sluice watch ID | head -1`), every other fault is told.

import os from 'node:os'
import type { Writable } from 'node:stream'

const EXIT_FAILED = 1
const EXIT_NO_READER = 128 + os.constants.signals.SIGPIPE

/** A stream that may fail. */
export class Output {
  readonly #stream: Writable
  readonly #broken = Promise.withResolvers<Error>()
  #error: Error | undefined
  /** The last that was written has been taken. */
  #written: Promise<void> = Promise.resolve()

  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', (error) => {
      this.#error ??= error
      this.#broken.resolve(error)
    })
  }

  /** Resolves when something could not be written. */
  get broken(): Promise<Error> {
    return this.#broken.promise
  }

  readonly write = (text: string): void => {
    if (this.#error !== undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#written = promise
    this.#stream.write(text, () => resolve())
  }

  /** Resolves when all is written that can be, for which a pipe may take time; with the error. */
  async flush(): Promise<Error | undefined> {
    await this.#written
    return this.#error
  }
}

/** The exit code after an error of standard output; a message unless there was just no reader. */
export function endOfOutput(error: Error, stderr: (text: string) => void): number {
  if ('code' in error && error.code === 'EPIPE') return EXIT_NO_READER
  stderr(`sluice: cannot write to standard output: ${error.message}\n`)
  return EXIT_FAILED
}
