// `sluice.json`, which says whose a data folder is and what has to be known before anything else
// in it can be read. Replaced as a whole by renaming, so it is always one or the other. It ends
// with a checksum: another secret would make every known key a new one, and nothing would tell.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import type { Limits } from '../../shards/memory/plan.ts'
import { fail } from '../base/errors.ts'
import { SECRET_BYTES } from '../base/hash.ts'

/**
 * Counted up with every change of what lies in a data folder. 1: no checksum here, and no
 * fingerprints of requests, users of lanes and counts of new jobs in the shards' journals.
 */
export const DIRECTORY_FORMAT = 2
export const IDENTITY_FILE = 'sluice.json'
const FILE_MODE = 0o600

/** What a data folder is. */
export interface Identity {
  readonly format: number
  /** The version of Sluice that has last written this. */
  readonly version: string
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
  const { checksum, ...identity } = value ?? {}
  const isTrue = checksum === checksumOf(identity)
  const isOther = identity.format !== undefined && identity.format !== DIRECTORY_FORMAT
  // The first form had no checksum; any later one has it, whatever else will be in it.
  if (isOther && (isTrue || checksum === undefined)) return refuseForm(file, identity)
  if (isTrue && isIdentity(identity)) return identity
  return fail('data_refused', `${file} is damaged: restore the folder from a copy, or name ` +
    'another with --data')
}

function refuseForm(file: string, { format, madeBy, version }: Found): never {
  const writer = version ?? madeBy
  const named = typeof writer === 'string' ? `Sluice ${writer}` : 'another version of Sluice'
  const what = `${file} has form ${String(format)}, written by ${named}, and this version of ` +
    `Sluice reads form ${DIRECTORY_FORMAT} only`
  return fail('data_refused', Number(format) < DIRECTORY_FORMAT
    ? `${what}: start ${named} on the folder, finish its jobs with 'sluice drain', and then name ` +
      'an empty folder with --data'
    : `${what}: start the version that has written it, or name another folder with --data`)
}

/** Puts an identity in the place of the one before, on the disk; throws what the system says. */
export function writeIdentity(folder: string, identity: Identity): void {
  const file = path.join(folder, IDENTITY_FILE)
  const descriptor = openSync(`${file}.new`, 'w', FILE_MODE)
  try {
    const whole = { ...identity, checksum: checksumOf(identity) }
    writeSync(descriptor, `${JSON.stringify(whole, null, 2)}\n`)
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

/** What may be in the file: its fields now, and those of earlier forms. */
type Found = Partial<Identity> & { readonly checksum?: unknown; readonly madeBy?: unknown }

function parse(text: string): Found | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

/** Of all fields but itself, in the order in which they stand. */
const checksumOf = (identity: object): string =>
  crc32(JSON.stringify(identity)).toString(16).padStart(8, '0')

function isIdentity(value: Found): value is Identity {
  const { image, isWhole, limits, secret } = value
  return typeof secret === 'string' && Buffer.from(secret, 'base64').length === SECRET_BYTES &&
    Number.isSafeInteger(image) && typeof isWhole === 'boolean' &&
    typeof limits === 'object' && limits !== null &&
    Object.values(limits).every((number) => Number.isSafeInteger(number))
}
