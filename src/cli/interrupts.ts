// SIGINT and SIGTERM while a command runs: the first lets it end in an orderly way, a second one
// kills the process.

import os from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** The signal that was received, if any. */
export interface Interrupts {
  /** The exit code for it: 128 plus the signal's number; undefined when there was none. */
  readonly exitCode: number | undefined
  /** Restores the default handling of signals. */
  end(): void
}

/** @param stop called at the first signal. */
export function onInterrupt(stop: () => void): Interrupts {
  let exitCode: number | undefined
  const listeners = SIGNALS.map((signal) => [signal, (): void => {
    exitCode = 128 + os.constants.signals[signal]
    end()
    stop()
  }] as const)
  const end = (): void => {
    for (const [signal, listener] of listeners) process.off(signal, listener)
  }
  for (const [signal, listener] of listeners) process.on(signal, listener)
  return { get exitCode() { return exitCode }, end }
}
