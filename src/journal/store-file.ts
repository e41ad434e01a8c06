// Checks an lmdb file before lmdb opens it: lmdb maps the file into memory and trusts it, so that a
// file of another kind, a truncated one, or one with a damaged page would crash the process instead
// of being refused.
// Source: the header of MDB_meta in lmdb 3.5's mdb.c (data version 2, pages with 24-byte headers).

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { type Tree, storePagesProblem } from './store-pages.ts'

const PAGE_FLAGS = 18
const PAGE_FLAG_META = 8
const META_MAGIC = 24
const META_VERSION = 28
const META_PAGE_BYTES = 48
/** The descriptions of the two trees. */
const META_FREE_PAGES = 48
const META_ROWS = 96
const TREE_FLAGS = 4
const TREE_DEPTH = 6
const TREE_ENTRIES = 32
const TREE_ROOT = 40
/** MDB_INTEGERKEY, or byte strings. */
const FLAGS_OF = { 'free pages': 8, 'rows': 0 } as const
const META_LAST_PAGE = 144
const META_TRANSACTION = 152
const META_BYTES = 160
const MAGIC = 0xbeefc0de
const VERSION = 2
const PAGE_BYTES_MIN = 256
const PAGE_BYTES_MAX = 65_536

/** The content of one of the two meta pages. */
interface Meta {
  readonly pageBytes: number
  readonly lastPage: number
  readonly transaction: number
  readonly trees: readonly Tree[]
}

/**
 * Why a file cannot be opened as an lmdb environment of this version; undefined when it can.
 * Throws the system's error when the file cannot be read.
 */
export function storeFileProblem(file: string): string | undefined {
  const descriptor = openSync(file, 'r')
  try {
    const { size } = fstatSync(descriptor)
    const first = readMeta(descriptor, 0)
    if (typeof first === 'string') return first
    const second = readMeta(descriptor, first.pageBytes)
    if (typeof second === 'string') return second
    const { pageBytes } = first
    const { lastPage, transaction, trees } =
      second.transaction > first.transaction ? second : first
    const bytes = (lastPage + 1) * pageBytes
    if (size < bytes) return `it has ${size} bytes and should have ${bytes}`
    return storePagesProblem({ descriptor, pageBytes, lastPage, transaction }, trees)
  } finally {
    closeSync(descriptor)
  }
}

function readMeta(descriptor: number, position: number): Meta | string {
  const bytes = Buffer.alloc(META_BYTES)
  if (readSync(descriptor, bytes, 0, META_BYTES, position) < META_BYTES) {
    return 'it ends before its second page'
  }
  const isMeta = (bytes.readUInt16LE(PAGE_FLAGS) & PAGE_FLAG_META) !== 0
  if (!isMeta || bytes.readUInt32LE(META_MAGIC) !== MAGIC) return 'it is no lmdb file'
  const version = bytes.readUInt32LE(META_VERSION)
  if (version !== VERSION) return `it has version ${version} of lmdb's format, not ${VERSION}`
  const pageBytes = bytes.readUInt32LE(META_PAGE_BYTES)
  const isPageSize = pageBytes >= PAGE_BYTES_MIN && pageBytes <= PAGE_BYTES_MAX &&
    (pageBytes & (pageBytes - 1)) === 0
  if (!isPageSize) return `it has pages of ${pageBytes} bytes`
  const trees = [
    readTree(bytes, META_FREE_PAGES, 'free pages'), readTree(bytes, META_ROWS, 'rows'),
  ]
  if (!trees.every((tree) => tree !== undefined)) return 'it has values of another kind'
  return {
    pageBytes, trees, lastPage: Number(bytes.readBigUInt64LE(META_LAST_PAGE)),
    transaction: Number(bytes.readBigUInt64LE(META_TRANSACTION)),
  }
}

function readTree(bytes: Buffer, at: number, name: Tree['name']): Tree | undefined {
  if (bytes.readUInt16LE(at + TREE_FLAGS) !== FLAGS_OF[name]) return undefined
  return {
    name, depth: bytes.readUInt16LE(at + TREE_DEPTH),
    entries: Number(bytes.readBigUInt64LE(at + TREE_ENTRIES)),
    root: Number(bytes.readBigUInt64LE(at + TREE_ROOT)),
  }
}
