// Ctrl-C and SIGTERM while a command runs: the first lets it end in its own way, a second one ends
// the process at once.

import os from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Which signal has come, if any. */
export interface Interrupts {
  /** As a shell knows it: 128 and the signal's number; undefined when none has come. */
  readonly exitCode: number | undefined
  /** Signals are the process's own again. */
  end(): void
}

/** @param stop is called at the first signal. */
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
