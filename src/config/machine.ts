// What the machine offers, as far as defaults depend on it: processors and memory. Containers are
// minded: a control group's memory limit counts where it is lower than the machine's own.

import os from 'node:os'

/** What defaults are derived from. */
export interface Machine {
  /** Processors that this process may use. */
  readonly cores: number
  readonly memoryBytes: number
}

/** The machine that this process runs on. */
export function readMachine(): Machine {
  // Without a limit, constrainedMemory() is 0 or a number beyond any machine's memory.
  const constrainedBytes = process.constrainedMemory()
  const totalBytes = os.totalmem()
  return {
    cores: os.availableParallelism(),
    memoryBytes: constrainedBytes > 0 ? Math.min(constrainedBytes, totalBytes) : totalBytes,
  }
}
