// What the machine offers, as far as defaults depend on it: processors, memory, file descriptors.
// In a container, the control group's memory limit counts where it is lower than the machine's
// memory.

import { readFileSync } from 'node:fs'
import os from 'node:os'
import { DESCRIPTORS_ASSUMED } from '../base/client-limits.ts'

/** What defaults are derived from. */
export interface Machine {
  /** Processors that this process may use. */
  readonly cores: number
  readonly memoryBytes: number
  /** File descriptors that this process may have. */
  readonly descriptors: number
}

/** The machine that this process runs on. */
export function readMachine(): Machine {
  // Without a limit, constrainedMemory() is 0 or a number beyond any machine's memory.
  const constrainedBytes = process.constrainedMemory()
  const totalBytes = os.totalmem()
  return {
    cores: os.availableParallelism(),
    memoryBytes: constrainedBytes > 0 ? Math.min(constrainedBytes, totalBytes) : totalBytes,
    descriptors: readDescriptors(),
  }
}

const LIMITS_FILE = '/proc/self/limits'

/** RLIMIT_NOFILE, where the system reports it. */
function readDescriptors(): number {
  try {
    const [, count] = /^Max open files\s+(\d+)/m.exec(readFileSync(LIMITS_FILE, 'utf8')) ?? []
    return Number(count ?? DESCRIPTORS_ASSUMED)
  } catch {
    return DESCRIPTORS_ASSUMED
  }
}
