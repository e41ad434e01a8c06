// The data folder as a whole: whether it is Sluice's, which of its images is the present one, and
// whether the memory of this start can hold it.
//
//   <data>/sluice.json            identity
//   <data>/image-1/shard-0/store  lmdb, and beside it the shard's tails
//   <data>/control.sock           the lock

import { accessSync, constants, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import type { Limits } from '../../shards/memory/plan.ts'
import { fail } from '../base/errors.ts'
import { makeSecret } from '../base/hash.ts'
import {
  DIRECTORY_FORMAT, IDENTITY_FILE, type Identity, readIdentity, syncFolder, writeIdentity,
} from './identity.ts'
import { makeFolder } from './make-folder.ts'

const FOLDER_MODE = 0o700
const IMAGE = /^image-(\d+)$/
/** What an unused folder may contain: the file system's, the lock, temporaries, and keys. */
const HARMLESS = /^(lost\+found|control\.sock.*|sluice\.json\.new|keys\.json(\.new)?)$/
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id'

/** Identifies the boot of the machine; empty where the system does not report it. */
export function readBootId(): string {
  try {
    return readFileSync(BOOT_ID_FILE, 'utf8').trim()
  } catch {
    return ''
  }
}

/**
 * Makes the folder if it does not exist. Fails when it is not a folder, cannot be written, or is
 * not Sluice's; call it before anything is written into it.
 */
export function checkDirectory(folder: string): void {
  const names = prepareFolder(folder)
  if (names.includes(IDENTITY_FILE)) return
  const foreign = names.filter((name) => !HARMLESS.test(name))
  if (foreign.length === 0) return
  const some = foreign.slice(0, 3).join(', ') + (foreign.length > 3 ? ', …' : '')
  fail('data_refused', `${folder} is not empty (${some}) and has no ${IDENTITY_FILE}, so it is ` +
    'not a data folder of Sluice; name another with --data')
}

function prepareFolder(folder: string): string[] {
  const problem = makeFolder(folder, FOLDER_MODE)
  if (problem !== undefined) return cannotUse(folder, problem)
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
    return readdirSync(folder)
  } catch (error) {
    return cannotUse(folder, error)
  }
}

const cannotUse = (folder: string, error: unknown): never =>
  fail('data_refused', `cannot use the data folder ${folder}: ${(error as Error).message}; name ` +
    'another with --data, or keep nothing with --journal off', error)

/** An open data folder. Only the process that holds the lock has one. */
export class DataDirectory {
  readonly folder: string
  readonly #version: string
  #identity: Identity

  private constructor(folder: string, identity: Identity, version: string) {
    this.folder = folder
    this.#identity = identity
    this.#version = version
  }

  /** @param version of this program. Fails like checkDirectory() and readIdentity(). */
  static open(folder: string, limits: Limits, version: string): DataDirectory {
    checkDirectory(folder)
    const known = readIdentity(folder)
    try {
      const identity: Identity = {
        ...known ?? {
          limits, image: 1, isWhole: false, secret: Buffer.from(makeSecret()).toString('base64'),
        },
        format: DIRECTORY_FORMAT, version,
      }
      // Noted before anything is written that an earlier version could not read.
      if (known?.format !== DIRECTORY_FORMAT) writeIdentity(folder, identity)
      const directory = new DataDirectory(folder, identity, version)
      directory.#tidy()
      return directory
    } catch (error) {
      return cannotUse(folder, error)
    }
  }

  /** The sizes of the memory that the image belongs to. */
  get limits(): Limits {
    return this.#identity.limits
  }

  /** The secret of the keyed hashes in the image. */
  get secret(): Uint8Array {
    return Buffer.from(this.#identity.secret, 'base64')
  }

  /** Whether all shards of the image have a store. */
  get isWhole(): boolean {
    return this.#identity.isWhole
  }

  /** The number of a new image beside the present one. */
  get nextImage(): number {
    return this.#identity.image + 1
  }

  /** The folder of one shard's journal. @param image number; default: the present image. */
  shardFolder(shard: number, image = this.#identity.image): string {
    return path.join(this.#imageFolder(image), `shard-${shard}`)
  }

  /** Records that all shards have a store, for memory of these sizes; fails if it cannot. */
  isComplete(limits: Limits): void {
    this.#note({ ...this.#identity, limits, isWhole: true })
  }

  /** Makes another image, which is complete and on disk, the present one. */
  change(image: number, limits: Limits): void {
    this.#note({ ...this.#identity, image, limits, isWhole: true })
    this.#tidy()
  }

  /** Bytes of the present image's files. */
  get imageBytes(): number {
    const folder = this.#imageFolder(this.#identity.image)
    let bytes = 0
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) bytes += statSync(path.join(entry.parentPath, entry.name)).size
    }
    return bytes
  }

  #note(noted: Identity): void {
    const identity = { ...noted, version: this.#version }
    try {
      const image = this.#imageFolder(identity.image)
      syncFolder(image)
      for (const entry of readdirSync(image, { recursive: true, withFileTypes: true })) {
        if (entry.isDirectory()) syncFolder(path.join(entry.parentPath, entry.name))
      }
      writeIdentity(this.folder, identity)
      this.#identity = identity
    } catch (error) {
      cannotUse(this.folder, error)
    }
  }

  /** Removes images that are incomplete or were replaced. */
  #tidy(): void {
    for (const name of readdirSync(this.folder)) {
      const image = IMAGE.exec(name)?.[1]
      if (image === undefined || Number(image) === this.#identity.image) continue
      rmSync(path.join(this.folder, name), { recursive: true, force: true })
    }
  }

  #imageFolder(image: number): string {
    return path.join(this.folder, `image-${image}`)
  }
}
