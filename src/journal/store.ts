// A shard's store: the rows of its journal by key, in an lmdb environment. The only file that
// imports lmdb. Each value begins with a checksum over its key and data, because lmdb has none. A
// commit is atomic, and durable when it returns.
//
//   key    | table, 1 byte | key 1, 4 | key 2, 4 |    big-endian, so that they sort as numbers
//   value  | CRC-32 of key and data, 4, little-endian | data ... |

import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { type RootDatabase, open } from 'lmdb'
import { NONE } from '../../shards/base/units.ts'
import { STORE_FILE } from '../../shards/journal/tail-names.ts'
import { makeFolder } from './make-folder.ts'
import { storeFileProblem } from './store-file.ts'

/** The compactor's own table. Row 0, 0: the store's state, as JSON. */
const TABLE_STATE = 0
const KEY_BYTES = 9
const CHECKSUM_BYTES = 4
const VALUE_BYTES_MIN = 64 * 1024
const FOLDER_MODE = 0o700
const FILE_MODE = 0o600
/** Address space only; the file grows as it is filled. */
const MAP_BYTES_MIN = 2 ** 32
const MAP_PER_MEMORY = 4
const FORMAT = 2

/** The state row of a store. */
export interface StoreState {
  /** The boot whose clock its times are in; empty where that is not known. */
  readonly boot: string
  /** All tails before this one are in the store, and of this one all batches … */
  readonly tail: number
  /** … up to this one … */
  readonly sequence: number
  /** … with so many new jobs in all. */
  readonly accepted: number
}

/** Visits a row; a returned text says what is wrong with it, and ends the iteration. */
export type VisitStored =
  (table: number, key1: number, key2: number, bytes: Buffer, start: number) => string | undefined

/** An opened store, or why it cannot be opened, for the operator. */
export type OpenedStore =
  | { readonly ok: true; readonly store: JournalStore }
  | { readonly ok: false; readonly problem: string }

/** The rows of one shard on disk. */
export class JournalStore {
  readonly #file: string
  readonly #database: RootDatabase<Buffer, Buffer>
  readonly #key = Buffer.alloc(KEY_BYTES)
  #value = Buffer.allocUnsafeSlow(VALUE_BYTES_MIN)

  private constructor(file: string, database: RootDatabase<Buffer, Buffer>) {
    this.#file = file
    this.#database = database
  }

  /**
   * Opens the store in a folder, or creates it. @param mayMake whether it may be missing.
   * @param memoryBytes of the shard; the store can grow to a multiple of it.
   */
  static open(folder: string, memoryBytes: number, mayMake: boolean): OpenedStore {
    const file = path.join(folder, STORE_FILE)
    const refuse = (what: string): OpenedStore => ({ ok: false, problem: `${file}: ${what}` })
    try {
      if (existsSync(file) && statSync(file).size > 0) {
        const problem = storeFileProblem(file)
        if (problem !== undefined) return refuse(problem)
      } else {
        if (!mayMake) return refuse('it is missing')
        const problem = makeFolder(folder, FOLDER_MODE)
        if (problem !== undefined) return refuse(problem.message)
      }
      const store = new JournalStore(file, openDatabase(folder, memoryBytes))
      return { ok: true, store }
    } catch (error) {
      return refuse((error as Error).message)
    }
  }

  /** The store's state; undefined when it is new. A string: why it cannot be read. */
  get state(): StoreState | undefined | string {
    const value = this.#database.get(this.#keyOf(TABLE_STATE, 0, 0))
    if (value === undefined) return this.rows === 0 ? undefined : 'it does not say what it holds'
    if (!isTrue(this.#key, value)) return 'what it says of itself is damaged'
    const { accepted, boot, format, sequence, tail } =
      JSON.parse(value.toString('utf8', CHECKSUM_BYTES)) as StoreState & { format: number }
    return format === FORMAT ? { boot, tail, sequence, accepted }
      : `it has format ${format}; this version of Sluice knows ${FORMAT}`
  }

  /** Rows of all tables. */
  get rows(): number {
    const { entryCount } = this.#database.getStats() as { entryCount: number }
    return entryCount
  }

  /** Bytes of the file in pages with rows, their free space included. */
  get usedBytes(): number {
    const { overflowPages, pageSize, treeBranchPageCount, treeLeafPageCount } =
      this.#database.getStats() as Readonly<Record<string, number>>
    return ((overflowPages ?? 0) + (treeBranchPageCount ?? 0) + (treeLeafPageCount ?? 0)) *
      (pageSize ?? 0)
  }

  /** The file's size on the disk. */
  get bytes(): number {
    return statSync(this.#file).size
  }

  /** Visits the rows of a table in key order. @returns what is wrong, if anything. */
  forEach(table: number, visit: VisitStored): string | undefined {
    const range = this.#database.getRange({
      start: keyBytes(table, 0, 0), end: keyBytes(table + 1, 0, 0),
    })
    for (const { key, value } of range) {
      const key1 = key.readUInt32BE(1)
      const key2 = key.readUInt32BE(5)
      const problem = isTrue(key, value) ? visit(table, key1, key2, value, CHECKSUM_BYTES)
        : 'a row is damaged'
      if (problem !== undefined) {
        return `${this.#file}: ${problem} (table ${table}, key ${key1}, ${key2})`
      }
    }
    return undefined
  }

  /** The first parts of the keys of a table's rows, in order. */
  keysOf(table: number): number[] {
    const keys = this.#database.getKeys({
      start: keyBytes(table, 0, 0), end: keyBytes(table + 1, 0, 0),
    })
    return Array.from(keys, (key) => key.readUInt32BE(1))
  }

  /**
   * Applies all changes that `change` makes, atomically and durably; throws the error of lmdb or
   * the system if that fails, and then none is applied.
   */
  commit(state: StoreState, change: () => void): void {
    this.#database.transactionSync(() => {
      change()
      const text = Buffer.from(JSON.stringify({ format: FORMAT, ...state }))
      this.put(TABLE_STATE, 0, 0, text, 0, text.length)
    })
  }

  /** Within commit(): inserts a row, or replaces the one with the same key. */
  put(
    table: number, key1: number, key2: number, bytes: Buffer, start: number, end: number,
  ): void {
    const length = CHECKSUM_BYTES + end - start
    if (this.#value.length < length) this.#value = Buffer.allocUnsafeSlow(2 * length)
    bytes.copy(this.#value, CHECKSUM_BYTES, start, end)
    const value = this.#value.subarray(0, length)
    const key = this.#keyOf(table, key1, key2)
    value.writeUInt32LE(crc32(value.subarray(CHECKSUM_BYTES), crc32(key)), 0)
    this.#database.putSync(key, value)
  }

  /** Within commit(): removes the rows of a table with this first key, from a second key on. */
  removeFrom(table: number, key1: number, key2Min: number): void {
    const end = key1 === NONE ? keyBytes(table + 1, 0, 0) : keyBytes(table, key1 + 1, 0)
    const range = this.#database.getKeys({ start: keyBytes(table, key1, key2Min), end })
    // Collected first, since the tree must not change during the iteration.
    for (const key of Array.from(range)) this.#database.removeSync(key)
  }

  close(): Promise<void> {
    return this.#database.close()
  }

  #keyOf(table: number, key1: number, key2: number): Buffer {
    return writeKey(this.#key, table, key1, key2)
  }
}

function openDatabase(folder: string, memoryBytes: number): RootDatabase<Buffer, Buffer> {
  const options = {
    path: folder, keyEncoding: 'binary', encoding: 'binary', cache: false, compression: false,
    // A commit must be durable when it returns.
    overlappingSync: false, eventTurnBatching: false, noMemInit: true, maxDbs: 1,
    mapSize: Math.max(MAP_BYTES_MIN, MAP_PER_MEMORY * memoryBytes), permissionsMode: FILE_MODE,
  } as const
  return open<Buffer, Buffer>(options)
}

function writeKey(key: Buffer, table: number, key1: number, key2: number): Buffer {
  key[0] = table
  key.writeUInt32BE(key1, 1)
  key.writeUInt32BE(key2, 5)
  return key
}

const keyBytes = (table: number, key1: number, key2: number): Buffer =>
  writeKey(Buffer.alloc(KEY_BYTES), table, key1, key2)

const isTrue = (key: Buffer, value: Buffer): boolean => value.length >= CHECKSUM_BYTES &&
  value.readUInt32LE(0) === crc32(value.subarray(CHECKSUM_BYTES), crc32(key))
