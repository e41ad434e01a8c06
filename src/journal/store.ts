// A shard's store: the rows of its journal, each under its keys, in an lmdb environment. The only
// file that knows lmdb. Each value begins with a checksum over its key and data, because lmdb has
// none. A commit is on the disk when it returns, whole or not at all.
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

/** The compactor's own table. Row 0, 0: what the store holds, as JSON. */
const TABLE_STATE = 0
const KEY_BYTES = 9
const CHECKSUM_BYTES = 4
const VALUE_BYTES_MIN = 64 * 1024
const FOLDER_MODE = 0o700
const FILE_MODE = 0o600
/** Address space only; the file grows as it fills. */
const MAP_BYTES_MIN = 2 ** 32
const MAP_PER_MEMORY = 4
const FORMAT = 2

/** What a store says of itself. */
export interface StoreState {
  /** The boot of the machine whose clock its times are by; empty where that is not known. */
  readonly boot: string
  /** All tails before this one are in the store, and of this one all batches … */
  readonly tail: number
  /** … up to this one … */
  readonly sequence: number
  /** … with so many new jobs in all. */
  readonly accepted: number
}

/** Gets each row; what it returns, if anything, is wrong with it and ends the walk. */
export type VisitStored =
  (table: number, key1: number, key2: number, bytes: Buffer, start: number) => string | undefined

/** A store that could be opened, or why it could not, for people. */
export type OpenedStore =
  | { readonly ok: true; readonly store: JournalStore }
  | { readonly ok: false; readonly problem: string }

/** One shard's rows on the disk. */
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
   * Opens the store in a folder, or makes it. @param mayMake whether it may be missing.
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

  /** What the store holds; undefined when it is new. A text: why that cannot be read. */
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

  /** Bytes that rows take in the file, the rest of their pages included. */
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

  /** Visits the rows of a table in the order of their keys. @returns what is wrong, if anything. */
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

  /** The first keys of a table's rows, in order. */
  keysOf(table: number): number[] {
    const keys = this.#database.getKeys({
      start: keyBytes(table, 0, 0), end: keyBytes(table + 1, 0, 0),
    })
    return Array.from(keys, (key) => key.readUInt32BE(1))
  }

  /**
   * Makes all changes that `change` asks for at once, and puts them on the disk; throws what the
   * system says when that cannot be done, and then none of them is made.
   */
  commit(state: StoreState, change: () => void): void {
    this.#database.transactionSync(() => {
      change()
      const text = Buffer.from(JSON.stringify({ format: FORMAT, ...state }))
      this.put(TABLE_STATE, 0, 0, text, 0, text.length)
    })
  }

  /** Within commit(): a row, in the place of the one with its keys. */
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

  /** Within commit(): takes out all rows of a table with this first key, from a second key on. */
  removeFrom(table: number, key1: number, key2Min: number): void {
    const end = key1 === NONE ? keyBytes(table + 1, 0, 0) : keyBytes(table, key1 + 1, 0)
    const range = this.#database.getKeys({ start: keyBytes(table, key1, key2Min), end })
    // All of them first: what is being walked should not change.
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
    // A commit is to be on the disk when it returns.
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
