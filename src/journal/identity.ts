// `sluice.json`, which says whose a data folder is and what has to be known before anything else
// in it can be read. Replaced as a whole by renaming, so it is always one or the other.

import {
  closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync,
} from 'node:fs'
import path from 'node:path'
import type { Limits } from '../../shards/limits.ts'
import { fail } from '../errors.ts'
import { SECRET_BYTES } from '../hash.ts'

/** Counted up with every change of what lies in a data folder. */
export const DIRECTORY_FORMAT = 1
export const IDENTITY_FILE = 'sluice.json'
const FILE_MODE = 0o600

/** What a data folder is. */
export interface Identity {
  readonly format: number
  /** The version of Sluice that made the folder. */
  readonly madeBy: string
  /** Of the keyed hashes in the images; base64 of SECRET_BYTES. */
  readonly secret: string
  /** The sizes of the memory whose image this is. */
  readonly limits: Limits
  /** Which of the folders `image-…` is the present one. */
  readonly image: number
  /** Every shard has a store there; before, some may be missing. */
  readonly isWhole: boolean
}

/**
 * The identity of a folder; undefined when it has none. Fails with a sentence for people when the
 * file cannot be read, or is of another format.
 */
export function readIdentity(folder: string): Identity | undefined {
  const file = path.join(folder, IDENTITY_FILE)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return fail('data_refused', `cannot read ${file}: ${(error as Error).message}`, error)
  }
  const value = parse(text)
  if (value?.format !== undefined && value.format !== DIRECTORY_FORMAT) {
    fail('data_refused', `${file} has format ${String(value.format)}, and this version of Sluice ` +
      `knows format ${DIRECTORY_FORMAT} only; start the version that has written it, or name ` +
      'another folder with --data')
  }
  if (value === undefined || !isIdentity(value)) {
    fail('data_refused', `${file} is damaged: restore the folder from a copy, or name another ` +
      'with --data')
  }
  return value
}

/** Puts an identity in the place of the one before, on the disk; throws what the system says. */
export function writeIdentity(folder: string, identity: Identity): void {
  const file = path.join(folder, IDENTITY_FILE)
  const descriptor = openSync(`${file}.new`, 'w', FILE_MODE)
  try {
    writeSync(descriptor, `${JSON.stringify(identity, null, 2)}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(`${file}.new`, file)
  syncFolder(folder)
}

/** Puts the names in a folder on the disk. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function parse(text: string): Partial<Identity> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

function isIdentity(value: Partial<Identity>): value is Identity {
  const { image, isWhole, limits, secret } = value
  return typeof secret === 'string' && Buffer.from(secret, 'base64').length === SECRET_BYTES &&
    Number.isSafeInteger(image) && typeof isWhole === 'boolean' &&
    typeof limits === 'object' && limits !== null &&
    Object.values(limits).every((number) => Number.isSafeInteger(number))
}
