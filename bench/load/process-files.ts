// Reads Linux's /proc: mainly the memory and the processor time of a process. Undefined on other
// systems, and for a process that has ended.

import { readFileSync } from 'node:fs'

/** In bytes. */
export interface ProcessMemory {
  readonly residentBytes: number
  /** The parts of it that are private, and shared. */
  readonly anonymousBytes: number
  readonly sharedBytes: number
}

/** The resident memory of a process. */
export function readMemory(pid: number): ProcessMemory | undefined {
  const text = readProc(`${pid}/status`)
  if (text === undefined) return undefined
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0)
  return {
    residentBytes: kib('VmRSS') * 1024,
    anonymousBytes: kib('RssAnon') * 1024,
    sharedBytes: kib('RssShmem') * 1024,
  }
}

/** /proc counts in hundredths of a second on every Linux that Node supports. */
const US_PER_TICK = 10_000
/** Indexes of the fields of /proc/…/stat after the name, which is in parentheses. */
const FIELD_USER = 11
const FIELD_SYSTEM = 12

/** Processor time of all threads in microseconds, with a resolution of 10 ms. */
export function readCpuUs(pid: number): number | undefined {
  const text = readProc(`${pid}/stat`)
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[FIELD_USER]) + Number(fields[FIELD_SYSTEM])) * US_PER_TICK
}

/** The content of a file below /proc. */
export function readProc(name: string): string | undefined {
  try {
    return readFileSync(`/proc/${name}`, 'utf8')
  } catch {
    return undefined
  }
}
