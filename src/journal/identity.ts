// `sluice.json`, which identifies a data folder and has what must be known before anything else in
// it can be read. Replaced atomically by renaming. It ends with a checksum: with a damaged secret,
// every known key would look new, and no error would show it.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import type { Limits } from '../../shards/memory/plan.ts'
import { fail } from '../base/errors.ts'
import { SECRET_BYTES } from '../base/hash.ts'

/**
 * Incremented with every change of the data folder's format. 1: no checksum in this file, and no
 * fingerprints of requests, users of lanes and counts of new jobs in the shards' journals. 2: no
 * owners in the pages of jobs.
 */
export const DIRECTORY_FORMAT = 3
/** The earliest format that is read. */
const DIRECTORY_FORMAT_MIN = 2
export const IDENTITY_FILE = 'sluice.json'
const FILE_MODE = 0o600

/** The content of sluice.json. */
export interface Identity {
  readonly format: number
  /** The version of Sluice that wrote this last. */
  readonly version: string
  /** The secret of the keyed hashes in the images; base64 of SECRET_BYTES. */
  readonly secret: string
  /** The sizes of the memory that the image belongs to. */
  readonly limits: Limits
  /** The number of the present image, in the folder `image-…`. */
  readonly image: number
  /** Every shard has a store in it; until then, some may be missing. */
  readonly isWhole: boolean
}

/**
 * The identity of a folder; undefined when it has none. Fails with a message for the operator when
 * the file cannot be read, or has another format.
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
  const isOther = identity.format !== undefined && !isRead(identity.format)
  // Format 1 had no checksum; every later one has it, whatever else it contains.
  if (isOther && (isTrue || checksum === undefined)) return refuseForm(file, identity)
  if (isTrue && isIdentity(identity)) return identity
  return fail('data_refused', `${file} is damaged: restore the folder from a copy, or name ` +
    'another with --data')
}

const isRead = (format: number): boolean =>
  format >= DIRECTORY_FORMAT_MIN && format <= DIRECTORY_FORMAT

function refuseForm(file: string, { format, madeBy, version }: Found): never {
  const writer = version ?? madeBy
  const named = typeof writer === 'string' ? `Sluice ${writer}` : 'another version of Sluice'
  const what = `${file} has form ${String(format)}, written by ${named}, and this version of ` +
    `Sluice reads forms ${DIRECTORY_FORMAT_MIN} to ${DIRECTORY_FORMAT} only`
  return fail('data_refused', Number(format) < DIRECTORY_FORMAT_MIN
    ? `${what}: start ${named} on the folder, finish its jobs with 'sluice drain', and then name ` +
      'an empty folder with --data'
    : `${what}: start the version that has written it, or name another folder with --data`)
}

/** Replaces the identity, durably; throws the system's error. */
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

/** Makes the entries of a folder durable. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** What the file may contain: its present fields, and those of earlier formats. */
type Found = Partial<Identity> & { readonly checksum?: unknown; readonly madeBy?: unknown }

function parse(text: string): Found | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

/** Over all fields but itself, in their order in the file. */
const checksumOf = (identity: object): string =>
  crc32(JSON.stringify(identity)).toString(16).padStart(8, '0')

function isIdentity(value: Found): value is Identity {
  const { image, isWhole, limits, secret } = value
  return typeof secret === 'string' && Buffer.from(secret, 'base64').length === SECRET_BYTES &&
    Number.isSafeInteger(image) && typeof isWhole === 'boolean' &&
    typeof limits === 'object' && limits !== null &&
    Object.values(limits).every((number) => Number.isSafeInteger(number))
}
