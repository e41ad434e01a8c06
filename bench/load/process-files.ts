// What Linux tells in /proc, above all of a process: its memory and its processor time. Undefined
// elsewhere, and for a process that is gone.

import { readFileSync } from 'node:fs'

/** In bytes. */
export interface ProcessMemory {
  readonly residentBytes: number
  /** Of those: memory of its own, and memory that is shared. */
  readonly anonymousBytes: number
  readonly sharedBytes: number
}

/** How much of a process is in memory. */
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

/** /proc counts in hundredths of a second on every Linux that Node runs on. */
const US_PER_TICK = 10_000
/** Fields of /proc/…/stat behind the name, which may hold blanks and is in parentheses. */
const FIELD_USER = 11
const FIELD_SYSTEM = 12

/** Microseconds of processor time of all threads, to a hundredth of a second. */
export function readCpuUs(pid: number): number | undefined {
  const text = readProc(`${pid}/stat`)
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[FIELD_USER]) + Number(fields[FIELD_SYSTEM])) * US_PER_TICK
}

/** The text of a file below /proc. */
export function readProc(name: string): string | undefined {
  try {
    return readFileSync(`/proc/${name}`, 'utf8')
  } catch {
    return undefined
  }
}
