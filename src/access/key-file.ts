// The key file: JSON, which is replaced as a whole, so that a reader finds the old keys or the new
// ones. It holds no key, only hashes; no message quotes even those.

import { readFileSync, statSync } from 'node:fs'
import { open, realpath, rename, unlink } from 'node:fs/promises'
import path from 'node:path'
import { KEYS_MAX } from '../../shards/memory/limits.ts'
import { KEY_FILE_BYTES_MAX } from '../base/limits.ts'
import { type FieldProblem, type KeyEntry, readEntry, shownField, writeEntry } from './key-entry.ts'

const VERSION = 1
const FILE_MODE = 0o600
/** The permissions of everybody but the owner. */
const OTHERS = 0o077

/** All keys. */
export interface Keys {
  readonly entries: readonly KeyEntry[]
  /** The number that the next key gets, if it is free. */
  readonly nextNumber: number
}

/** A file that was read. */
export interface KeyFile {
  readonly keys: Keys
  /** Of this version of the file; it differs once the file has been replaced. */
  readonly mark: string
  /** Others than the owner have permissions. */
  readonly isOpenToOthers: boolean
}

export const NO_KEYS: Keys = { entries: [], nextNumber: 1 }
const MISSING: KeyFile = { keys: NO_KEYS, mark: '', isOpenToOthers: false }

type Read = { readonly ok: true, readonly file: KeyFile } |
  { readonly ok: false, readonly error: string }

/** Identifies the present version of the file; '' where there is none. Throws as stat() does. */
export function markOf(file: string): string {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeNs}`
}

/** A missing file is one without keys. The error names the file and what in it is wrong. */
export function readKeyFile(file: string): Read {
  const refuse = (error: string): Read => ({ ok: false, error: `the key file ${file} ${error}` })
  let text: string
  let mark: string
  let mode: number
  try {
    mark = markOf(file)
    if (mark === '') return { ok: true, file: MISSING }
    const found = statSync(file)
    if (!found.isFile()) return refuse('is not a file')
    if (found.size > KEY_FILE_BYTES_MAX) {
      return refuse(`has more than ${KEY_FILE_BYTES_MAX} bytes`)
    }
    mode = found.mode
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return refuse(`cannot be read: ${(error as Error).message}`)
  }
  const keys = parse(text)
  if ('expected' in keys) {
    return refuse(keys.field === '' ? `has to be ${keys.expected}`
      : `is wrong at ${keys.field}: expected ${keys.expected}`)
  }
  return { ok: true, file: { keys, mark, isOpenToOthers: (mode & OTHERS) !== 0 } }
}

function parse(text: string): Keys | FieldProblem {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { field: '', expected: 'JSON' } // the parser's message would quote the text
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { field: '', expected: 'a JSON object' }
  }
  const { keys, next_number: nextNumber, version, ...rest } = value as Record<string, unknown>
  if (version !== VERSION) {
    return { field: 'version', expected: `${VERSION}, which is all that this version of Sluice ` +
      'reads' }
  }
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) return { field: shownField(unknown), expected: 'no such field' }
  if (!Number.isInteger(nextNumber) || Number(nextNumber) < 1 || Number(nextNumber) > KEYS_MAX) {
    return { field: 'next_number', expected: `a whole number from 1 to ${KEYS_MAX}` }
  }
  if (!Array.isArray(keys) || keys.length > KEYS_MAX) {
    return { field: 'keys', expected: `a list of at most ${KEYS_MAX} keys` }
  }
  const entries = readEntries(keys)
  return 'field' in entries ? entries : { entries, nextNumber: nextNumber as number }
}

function readEntries(values: readonly unknown[]): KeyEntry[] | FieldProblem {
  const entries: KeyEntry[] = []
  const ids = new Set<string>()
  const numbers = new Set<number>()
  for (const [at, value] of values.entries()) {
    const entry = readEntry(value)
    if ('field' in entry) {
      const field = entry.field === '' ? '' : `.${entry.field}`
      return { field: `keys[${at}]${field}`, expected: entry.expected }
    }
    const unique = 'one that no other key has'
    if (ids.has(entry.id)) return { field: `keys[${at}].id`, expected: unique }
    if (numbers.has(entry.number)) return { field: `keys[${at}].number`, expected: unique }
    ids.add(entry.id)
    numbers.add(entry.number)
    entries.push(entry)
  }
  return entries
}

/**
 * Replaces the file, durably; readable by its owner only. Resolves with the mark of the new
 * version, or with the reason why it could not be written. One call at a time.
 */
export async function writeKeyFile(
  file: string, { entries, nextNumber }: Keys,
): Promise<{ readonly mark: string } | { readonly error: string }> {
  // A link stays one: what it leads to is replaced.
  const target = await realpath(file).catch(() => file)
  const next = `${target}.new`
  try {
    await writeDurably(next, `{"version":${VERSION},"next_number":${nextNumber},"keys":[\n` +
      `${entries.map(textOf).join(',\n')}\n]}\n`)
    await rename(next, target)
    const folder = await open(path.dirname(target), 'r')
    await folder.sync().finally(() => folder.close())
    return { mark: markOf(file) }
  } catch (error) {
    await unlink(next).catch(() => { /* it may not have been made */ })
    return { error: unwritable(file, error as NodeJS.ErrnoException) }
  }
}

/** Lines of the file by entry: one change among very many keys must not hold up the thread. */
const texts = new WeakMap<KeyEntry, string>()

function textOf(entry: KeyEntry): string {
  const known = texts.get(entry)
  if (known !== undefined) return known
  const text = JSON.stringify(writeEntry(entry))
  texts.set(entry, text)
  return text
}

async function writeDurably(file: string, text: string): Promise<void> {
  // Made anew each time: what lies there may have other permissions, or be a link.
  await unlink(file).catch(() => { /* there is none */ })
  const handle = await open(file, 'wx', FILE_MODE)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A mounted file is often one that cannot be written, or not be replaced. */
const NOT_HERE: ReadonlySet<string | undefined> =
  new Set(['EROFS', 'EACCES', 'EPERM', 'EBUSY', 'EXDEV'])

function unwritable(file: string, { code, message }: NodeJS.ErrnoException): string {
  return NOT_HERE.has(code)
    ? `the key file ${file} cannot be replaced here (${code}): change it where it comes from, ` +
      'and reload the server'
    : `the key file ${file} cannot be written: ${message}`
}
