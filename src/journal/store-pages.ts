// Checks all pages of an lmdb file that lmdb could visit, before it does: lmdb trusts every number
// in them, so that a zeroed or misplaced page crashes the process by an assertion or a signal. The
// content of rows is not read here; each row has a checksum of its own (store.ts).
// Source: MDB_page, MDB_node and MDB_db in lmdb 3.5's mdb.c, all little-endian.
//
//   page     | number, 8 | transaction, 8 | -, 2 | flags, 2 | lower, 2 | upper, 2 | places, nodes |
//   overflow | number, 8 | transaction, 8 | -, 2 | flags, 2 | pages, 4 | the data of one value    |
//   node     | low 2, middle 2 | flags or high, 2 | key bytes, 2 | key | data, or a page's number |

import { readSync } from 'node:fs'

const PAGE_HEADER_BYTES = 24
const PAGE_TRANSACTION = 8
const PAGE_FLAGS = 18
const PAGE_LOWER = 20
const PAGE_UPPER = 22
const PAGE_OVERFLOW_PAGES = 20
const FLAG_BRANCH = 1
const FLAG_LEAF = 2
const FLAG_OVERFLOW = 4
const NODE_HEADER_BYTES = 8
const NODE_FLAG_OVERFLOW = 1
const PAGE_NUMBER_BYTES = 8
/** The root of an empty tree: 2^64 - 1. */
const NO_PAGE = 2 ** 64
const META_PAGES = 2

/** One of the two trees of a file: of free pages, or of rows. */
export interface Tree {
  readonly name: 'free pages' | 'rows'
  /** Levels of pages; 0 when the tree is empty. */
  readonly depth: number
  readonly entries: number
  readonly root: number
}

/** The file that is checked. */
export interface PagedFile {
  readonly descriptor: number
  readonly pageBytes: number
  readonly lastPage: number
  /** The latest; no page may have a later one. */
  readonly transaction: number
}

/** The keys that a page may have: low included, high excluded. */
interface KeyRange {
  readonly low: Buffer | undefined
  readonly high: Buffer | undefined
}

/** One node of a page. */
interface PageNode {
  readonly key: Buffer
  readonly flags: number
  /** In a branch: the child's page number. */
  readonly child: number
  /** In a leaf: the size of the data, and the offset of the data or of its page number. */
  readonly dataBytes: number
  readonly dataAt: number
}

/** The fault in the pages of these trees, with the page's number; undefined for none. */
export function storePagesProblem(file: PagedFile, trees: readonly Tree[]): string | undefined {
  const walk = new PageWalk(file)
  for (const tree of trees) {
    const problem = walk.tree(tree)
    if (problem !== undefined) return problem
  }
  return undefined
}

class PageWalk {
  readonly #file: PagedFile
  /** By page number: whether a page refers to it. */
  readonly #isSeen: Uint8Array
  readonly #header: Buffer
  /** By level: the page that is being checked. */
  readonly #pages: Buffer[] = []
  #entries = 0

  constructor(file: PagedFile) {
    this.#file = file
    this.#isSeen = new Uint8Array(file.lastPage + 1)
    this.#header = Buffer.allocUnsafe(PAGE_HEADER_BYTES)
  }

  tree(tree: Tree): string | undefined {
    this.#entries = 0
    if (tree.root === NO_PAGE) {
      return tree.entries === 0 ? undefined : `there is no root of its ${tree.entries} ${tree.name}`
    }
    // Keys of free pages are integers, which lmdb only iterates over in order.
    const range: KeyRange | null =
      tree.name === 'rows' ? { low: undefined, high: undefined } : null
    const problem = this.#page(tree, tree.root, 1, range)
    if (problem !== undefined) return problem
    return this.#entries === tree.entries ? undefined
      : `it says that it has ${tree.entries} ${tree.name}, and ${this.#entries} are there`
  }

  #page(tree: Tree, number: number, level: number, range: KeyRange | null): string | undefined {
    const { descriptor, pageBytes } = this.#file
    const page = this.#pages[level] ??= Buffer.allocUnsafe(pageBytes)
    const wanted = level === tree.depth ? FLAG_LEAF : FLAG_BRANCH
    const wrong = this.#claim(number, 1) ??
      (readSync(descriptor, page, 0, pageBytes, number * pageBytes) < pageBytes ? 'is cut off'
        : this.#headerProblem(page, number, wanted))
    if (wrong !== undefined) return damaged(number, wrong)
    const nodes = readNodes(page, wanted === FLAG_BRANCH)
    if (nodes === undefined) return damaged(number, 'has nodes outside of it')
    if (range !== null && !areInOrder(nodes, range, wanted === FLAG_BRANCH)) {
      return damaged(number, 'has keys out of order')
    }
    if (wanted === FLAG_BRANCH) return this.#children(tree, nodes, level, range)
    this.#entries += nodes.length
    for (const node of nodes) {
      const problem = this.#overflow(page, number, node) ??
        (tree.name === 'free pages' ? this.#freePages(page, number, node) : undefined)
      if (problem !== undefined) return problem
    }
    return undefined
  }

  #children(
    tree: Tree, nodes: readonly PageNode[], level: number, range: KeyRange | null,
  ): string | undefined {
    for (const [at, { child, key }] of nodes.entries()) {
      const own = range === null ? null : {
        low: at === 0 ? range.low : key, high: nodes[at + 1]?.key ?? range.high,
      }
      const problem = this.#page(tree, child, level + 1, own)
      if (problem !== undefined) return problem
    }
    return undefined
  }

  /** Checks the overflow pages of a value. */
  #overflow(page: Buffer, number: number, node: PageNode): string | undefined {
    if (node.flags === 0) return undefined
    if (node.flags !== NODE_FLAG_OVERFLOW) return damaged(number, 'has values of another kind')
    const { descriptor, pageBytes } = this.#file
    const first = Number(page.readBigUInt64LE(node.dataAt))
    const needed = Math.ceil((PAGE_HEADER_BYTES + node.dataBytes) / pageBytes)
    const wrong = this.#claim(first, 1)
    if (wrong !== undefined) return damaged(first, wrong)
    readSync(descriptor, this.#header, 0, PAGE_HEADER_BYTES, first * pageBytes)
    const problem = this.#headerProblem(this.#header, first, FLAG_OVERFLOW)
    if (problem !== undefined) return damaged(first, problem)
    // A value may have replaced a larger one.
    const pages = this.#header.readUInt32LE(PAGE_OVERFLOW_PAGES)
    if (pages < needed) return damaged(first, 'is shorter than its value')
    const more = this.#claim(first + 1, pages - 1)
    return more === undefined ? undefined : damaged(first, more)
  }

  #headerProblem(page: Buffer, number: number, flags: number): string | undefined {
    if (Number(page.readBigUInt64LE(0)) !== number) return 'is another one'
    const isLater = Number(page.readBigUInt64LE(PAGE_TRANSACTION)) > this.#file.transaction
    return isLater || page.readUInt16LE(PAGE_FLAGS) !== flags ? 'is of another kind' : undefined
  }

  /** Checks a list of free pages: no other page may refer to them. */
  #freePages(page: Buffer, number: number, node: PageNode): string | undefined {
    const { dataAt, dataBytes, flags } = node
    let list = page.subarray(dataAt, dataAt + dataBytes)
    if (flags === NODE_FLAG_OVERFLOW) {
      const { descriptor, pageBytes } = this.#file
      const at = Number(page.readBigUInt64LE(dataAt)) * pageBytes + PAGE_HEADER_BYTES
      list = Buffer.allocUnsafe(dataBytes)
      readSync(descriptor, list, 0, dataBytes, at)
    }
    const numbers = Array.from({ length: Math.floor(dataBytes / PAGE_NUMBER_BYTES) },
      (_, at) => Number(list.readBigInt64LE(at * PAGE_NUMBER_BYTES)))
    const [count = -1] = numbers
    if (count < 0 || count >= numbers.length) return damaged(number, 'has a list of another length')
    for (let at = 1; at <= count; at++) {
      // A negative number is a count of pages, which start at the next number.
      const found = numbers[at] as number
      const [first, pages] = found < 0 ? [numbers[++at] ?? 0, -found] : [found, 1]
      const wrong = first === 0 && pages === 1 ? undefined : this.#claim(first, pages)
      if (wrong !== undefined) return damaged(first, wrong)
    }
    return undefined
  }

  /** Each page must be referred to only once. */
  #claim(first: number, count: number): string | undefined {
    if (first < META_PAGES || first + count > this.#isSeen.length) return 'is outside of the file'
    for (let page = first; page < first + count; page++) {
      if (this.#isSeen[page] === 1) return 'is used twice'
      this.#isSeen[page] = 1
    }
    return undefined
  }
}

const damaged = (page: number, what: string): string => `it is damaged: page ${page} ${what}`

/** The nodes in page order; undefined when one exceeds the page. */
function readNodes(page: Buffer, isBranch: boolean): PageNode[] | undefined {
  const lower = page.readUInt16LE(PAGE_LOWER) + PAGE_HEADER_BYTES
  const upper = page.readUInt16LE(PAGE_UPPER) + PAGE_HEADER_BYTES
  const isWhole = lower > PAGE_HEADER_BYTES && lower % 2 === 0 && lower <= upper &&
    upper <= page.length
  if (!isWhole) return undefined
  const nodes: PageNode[] = []
  for (let place = PAGE_HEADER_BYTES; place < lower; place += 2) {
    const at = page.readUInt16LE(place) + PAGE_HEADER_BYTES
    if (at < upper || at + NODE_HEADER_BYTES > page.length) return undefined
    const flags = page.readUInt16LE(at + 4)
    const size = page.readUInt32LE(at)
    const keyAt = at + NODE_HEADER_BYTES
    const dataAt = keyAt + page.readUInt16LE(at + 6)
    const inPage = flags === 0 ? size : PAGE_NUMBER_BYTES
    if (dataAt + (isBranch ? 0 : inPage) > page.length) return undefined
    nodes.push({
      key: page.subarray(keyAt, dataAt), flags, child: flags * 2 ** 32 + size, dataBytes: size,
      dataAt,
    })
  }
  return nodes
}

/** The first key of a branch page is not used: it stands for all lesser keys. */
function areInOrder(
  nodes: readonly PageNode[], { high, low }: KeyRange, isBranch: boolean,
): boolean {
  let before = low
  for (const { key } of isBranch ? nodes.slice(1) : nodes) {
    const order = before === undefined ? 1 : key.compare(before)
    if (before === low && !isBranch ? order < 0 : order <= 0) return false
    if (high !== undefined && key.compare(high) >= 0) return false
    before = key
  }
  return true
}
