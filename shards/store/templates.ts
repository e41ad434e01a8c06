// Templates: the part that many jobs have in common (URL, method, headers, webhook, user), stored
// once.
// Thread: shard. Memory: writes the template slots; `location` and `hash` are facts, references,
// links and index are derived. The table of recent hashes is private.
// Never: interprets a template; compares bytes only.
// A template gets a slot only if the same hash was seen recently: a caller whose jobs are all
// different uses no slots, and an account's second job shares nothing with its first.

import { assert } from '../base/assert.ts'
import { type Location, NONE, type TemplateSlot } from '../base/units.ts'
import { Marks } from '../memory/dirty-pages.ts'
import type { ShardViews, TemplateArrays } from '../memory/layout.ts'
import { TEMPLATES_RECENT_COUNT } from '../memory/limits.ts'
import { SlotIndex } from '../memory/slot-index.ts'
import { type JobLog, LOG_TEMPLATE } from './job-log.ts'
import { recordBytes } from './log-record.ts'

/** Where a template is before it is stored: the same memory as bytes and as words. */
export interface TemplateSource {
  readonly bytes: Buffer
  readonly u32: Uint32Array
}

/** Head and counts; slots, links and index stay in shared memory. Recent hashes are dropped. */
export interface TemplatesBaton {
  readonly freeHead: number
  readonly used: number
  readonly bytes: number
}

/** Shared parts of jobs, with reference counts. */
export class Templates {
  readonly #slots: TemplateArrays
  readonly #log: JobLog
  readonly #marks: Marks
  readonly #index: SlotIndex
  /** Direct-mapped by the hash's lower bits: the last hash seen. */
  readonly #recent = new Uint32Array(TEMPLATES_RECENT_COUNT)
  #freeHead = NONE
  #used = 0
  #recordsBytes = 0
  // What #isSought compares with; fields, so that a search allocates no closure.
  #soughtHash = 0
  #source: Uint32Array
  #start = 0
  #bytes = 0
  readonly #isSought = (slot: number): boolean => {
    if (this.#slots.hash[slot] !== this.#soughtHash) return false
    const at = this.#slots.location[slot] as Location
    return this.#log.lengthOf(at) === this.#bytes && isSame(
      this.#source, this.#start >>> 2, this.#log.wordsOf(at), this.#log.startOf(at) >>> 2,
      this.#bytes)
  }

  /**
   * @param options.recover keep the templates in memory. Their references are counted anew: the
   *   owner calls addReference for each job, then finishRecovery.
   * @param options.takesOver leave everything as it is; takeOver() must be called before use.
   */
  constructor(
    views: ShardViews, log: JobLog,
    options: { readonly recover: boolean; readonly takesOver?: boolean },
    marks = new Marks(views, false),
  ) {
    const slots = views.templates
    this.#marks = marks
    this.#slots = slots
    this.#log = log
    this.#source = views.ingress.u32
    this.#index = new SlotIndex(slots.index, (slot) => slots.hash[slot] as number)
    if (options.takesOver === true) return
    if (!options.recover) slots.location.fill(NONE)
    slots.references.fill(0)
    this.#index.clear()
    for (let slot = slots.location.length - 1; slot >= 0; slot--) {
      if (slots.location[slot] === NONE) this.#pushFree(slot)
      else this.#adopt(slot)
    }
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): TemplatesBaton {
    return { freeHead: this.#freeHead, used: this.#used, bytes: this.#recordsBytes }
  }

  takeOver(baton: TemplatesBaton): void {
    this.#freeHead = baton.freeHead
    this.#used = baton.used
    this.#recordsBytes = baton.bytes
    this.#index.takeOver(baton.used)
  }

  /** Slots in use. */
  get used(): number {
    return this.#used
  }

  /** Bytes of their records in the log. */
  get bytes(): number {
    return this.#recordsBytes
  }

  /**
   * The template slot with these bytes, with a reference added for the caller; or NONE when they
   * are new, or when there is no slot or no space: the job then stores them inline. May append to
   * the log, so makeRoom() for job and template together before.
   * @param hash uint32 of the bytes, seeded, so that outsiders cannot choose it.
   * @param start a multiple of four.
   */
  share(
    hash: number, source: TemplateSource, start: number, end: number,
  ): TemplateSlot | typeof NONE {
    this.#soughtHash = hash
    this.#source = source.u32
    this.#start = start
    this.#bytes = end - start
    const known = this.#index.find(hash, this.#isSought)
    if (known !== NONE) {
      this.addReference(known as TemplateSlot)
      return known as TemplateSlot
    }
    const place = hash % TEMPLATES_RECENT_COUNT
    if (this.#recent[place] === hash) return this.#promote(hash, source.bytes, start, end)
    this.#recent[place] = hash
    return NONE
  }

  /** Adds a job's reference to the template. */
  addReference(slot: TemplateSlot): void {
    const { location, references } = this.#slots
    assert(location[slot] !== NONE, 'a reference to a template that is free')
    references[slot] = (references[slot] as number) + 1
  }

  /** Drops a job's reference. @returns whether it was the last, and the template is freed. */
  release(slot: TemplateSlot): boolean {
    const { references } = this.#slots
    const count = references[slot] as number
    assert(count > 0, 'a template released more often than referred to')
    references[slot] = count - 1
    if (count === 1) this.#drop(slot)
    return count === 1
  }

  /** The current location of the template's record, which moves when the log is cleaned. */
  locationOf(slot: TemplateSlot): Location {
    const at = this.#slots.location[slot] as number
    assert(at !== NONE, 'the location of a template that is free')
    return at as Location
  }

  referencesOf(slot: TemplateSlot): number {
    return this.#slots.references[slot] as number
  }

  /** For LogOwners: whether the record at `at` is this slot's. */
  isLive(slot: number, at: Location): boolean {
    return this.#slots.location[slot] === at
  }

  /** For LogOwners: the slot's record has moved. */
  moved(slot: number, to: Location): void {
    assert(this.#slots.location[slot] !== NONE, 'a free template was moved')
    this.#marks.template(slot)
    this.#slots.location[slot] = to
  }

  /** After recovery of the log and addReference for every job: drops unused templates. */
  finishRecovery(): void {
    const { location, references } = this.#slots
    for (let slot = 0; slot < location.length; slot++) {
      if (location[slot] === NONE) continue
      this.#recordsBytes += this.#recordBytesAt(location[slot] as Location)
      if (references[slot] === 0) this.#drop(slot)
    }
  }

  /** Stores the bytes as a template, if there is a slot and the log has space. */
  #promote(hash: number, source: Buffer, start: number, end: number):
    TemplateSlot | typeof NONE {
    const slot = this.#freeHead
    if (slot === NONE) return NONE
    const at = this.#log.append(LOG_TEMPLATE, slot, 0, source, start, end, true)
    if (at === NONE) return NONE
    this.#freeHead = this.#slots.next[slot] as number
    // The location decides that the slot is in use, so it is written after the hash.
    this.#marks.template(slot)
    this.#slots.hash[slot] = hash
    this.#slots.location[slot] = at
    this.#slots.references[slot] = 1
    this.#recordsBytes += this.#recordBytesAt(at)
    this.#adopt(slot)
    return slot as TemplateSlot
  }

  #adopt(slot: number): void {
    this.#index.insert(this.#slots.hash[slot] as number, slot)
    this.#used++
  }

  #drop(slot: number): void {
    const { location, hash } = this.#slots
    const at = location[slot] as Location
    const wasThere = this.#index.remove(hash[slot] as number, slot)
    assert(wasThere, 'a template missing from the index')
    this.#marks.template(slot)
    location[slot] = NONE
    this.#recordsBytes -= this.#recordBytesAt(at)
    this.#log.free(at)
    this.#pushFree(slot)
    this.#used--
  }

  #recordBytesAt(at: Location): number {
    return recordBytes(this.#log.lengthOf(at))
  }

  #pushFree(slot: number): void {
    this.#slots.next[slot] = this.#freeHead
    this.#freeHead = slot
  }
}

/** Compares `bytes` bytes from two word positions; ignores the rest of the last word. */
function isSame(
  one: Uint32Array, oneAt: number, other: Uint32Array, otherAt: number, bytes: number,
): boolean {
  const words = bytes >>> 2
  let different = 0
  for (let word = 0; word < words; word++) {
    different |= (one[oneAt + word] as number) ^ (other[otherAt + word] as number)
  }
  const rest = (1 << ((bytes & 3) << 3)) - 1
  if (rest !== 0) {
    different |= ((one[oneAt + words] as number) ^ (other[otherAt + words] as number)) & rest
  }
  return different === 0
}
