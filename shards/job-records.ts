// A job's records in the log: its template and body while it waits, its result afterwards.
// Thread: shard. Memory: through the log, the templates and jobs.location.
// Never: keeps a location across a call that may clean the log; a record can move there.
// One job has one record at a time: storing the result frees the job's own first, so a full log
// can always turn a job into its (usually smaller) result.

import { assert } from './assert.ts'
import {
  type JobPayload, type StoredResult, type Template, decodeJob, decodeResult, decodeTemplate,
  encodeResult,
} from './codec.ts'
import {
  type JobLog, LOG_JOB_INLINE, LOG_JOB_SHARED, LOG_RESULT, LOG_TEMPLATE, type LogOwners,
} from './job-log.ts'
import { JOB_FREE, type JobSlots } from './job-slots.ts'
import { LOG_RECORD_HEADER_BYTES } from './limits.ts'
import type { Templates } from './templates.ts'
import { type JobSlot, type Location, NONE, type TemplateSlot } from './units.ts'

/** Reads and writes what the log keeps for the jobs. */
export class JobRecords implements LogOwners {
  readonly #log: JobLog
  readonly #jobs: JobSlots
  readonly #templates: Templates

  constructor(log: JobLog, jobs: JobSlots, templates: Templates) {
    this.#log = log
    this.#jobs = jobs
    this.#templates = templates
  }

  // --- what the log asks while it cleans ---

  isLive(kind: number, owner: number, at: Location): boolean {
    if (kind === LOG_TEMPLATE) return this.#templates.isLive(owner as TemplateSlot, at)
    return this.#jobs.at.location[owner] === at && this.#jobs.at.state[owner] !== JOB_FREE
  }

  moved(kind: number, owner: number, to: Location): void {
    if (kind === LOG_TEMPLATE) this.#templates.moved(owner as TemplateSlot, to)
    else this.#jobs.at.location[owner] = to
  }

  // --- jobs ---

  /** Whether the log may take a new job of `bytes` (template and body, encoded). */
  admits(bytes: number): boolean {
    return this.#log.admits(bytes + LOG_RECORD_HEADER_BYTES)
  }

  /**
   * Stores a new job's template and body, which lie one behind the other in `source`. False, and
   * nothing stored, when the log has no room even after cleaning.
   */
  storeJob(
    slot: JobSlot, source: Buffer, start: number, bodyStart: number, end: number, hash: number,
  ): boolean {
    if (!this.#log.makeRoom(end - start + 2 * LOG_RECORD_HEADER_BYTES, this)) return false
    const template = this.#templates.share(hash, source, start, bodyStart)
    const at = template === NONE
      ? this.#log.append(LOG_JOB_INLINE, slot, bodyStart - start, source, start, end, false)
      : this.#log.append(LOG_JOB_SHARED, slot, template, source, bodyStart, end, false)
    if (at === NONE) {
      if (template !== NONE) this.#templates.release(template as TemplateSlot)
      return false
    }
    this.#jobs.at.location[slot] = at
    return true
  }

  readTemplate(slot: JobSlot): Template {
    const at = this.#jobs.at.location[slot] as Location
    if (this.#log.kindOf(at) === LOG_JOB_SHARED) {
      const shared = this.#templates.locationOf(this.#log.wordOf(at) as TemplateSlot)
      return decodeTemplate(
        this.#log.bytesOf(shared), this.#log.startOf(shared), this.#log.endOf(shared))
    }
    assert(this.#log.kindOf(at) === LOG_JOB_INLINE, 'the record is not a job')
    const start = this.#log.startOf(at)
    return decodeTemplate(this.#log.bytesOf(at), start, start + this.#log.wordOf(at))
  }

  readJob(slot: JobSlot): JobPayload {
    const at = this.#jobs.at.location[slot] as Location
    const inline = this.#log.kindOf(at) === LOG_JOB_INLINE
    const start = this.#log.startOf(at) + (inline ? this.#log.wordOf(at) : 0)
    return decodeJob(this.#log.bytesOf(at), start, this.#log.endOf(at))
  }

  /** Whether the slot's record is its result, not its job; false when it has none. */
  hasResult(slot: JobSlot): boolean {
    const at = this.#jobs.at.location[slot] as number
    return at !== NONE && this.#log.kindOf(at as Location) === LOG_RESULT
  }

  // --- results ---

  /**
   * Puts the result in the place of the job's record. The body is left out, and the result says
   * truncated, when the log has no room for it. False when it has none for the rest either: the
   * job's own record is still there then.
   */
  storeResult(slot: JobSlot, result: StoredResult): boolean {
    if (this.#replace(slot, encodeResult(result))) return true
    return result.body !== null &&
      this.#replace(slot, encodeResult({ ...result, body: null, truncated: true }))
  }

  readResult(slot: JobSlot): StoredResult {
    const at = this.#jobs.at.location[slot] as Location
    assert(this.#log.kindOf(at) === LOG_RESULT, 'the record is not a result')
    return decodeResult(this.#log.bytesOf(at), this.#log.startOf(at), this.#log.endOf(at))
  }

  /** The bytes of the slot's record; 0 when it has none. */
  bytesOf(slot: JobSlot): number {
    const at = this.#jobs.at.location[slot] as number
    return at === NONE ? 0 : this.#log.lengthOf(at as Location)
  }

  /** Frees the slot's record, and its hold on a shared template. */
  free(slot: JobSlot): void {
    const at = this.#jobs.at.location[slot] as number
    if (at === NONE) return
    this.#jobs.at.location[slot] = NONE
    this.#freeRecord(at as Location)
  }

  #freeRecord(at: Location): void {
    const shared = this.#log.kindOf(at) === LOG_JOB_SHARED
    const template = this.#log.wordOf(at) as TemplateSlot
    this.#log.free(at)
    if (shared) this.#templates.release(template)
  }

  #replace(slot: JobSlot, encoded: Uint8Array): boolean {
    const source = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength)
    if (!this.#log.makeRoom(source.length, this, true)) return false
    const at = this.#log.append(LOG_RESULT, slot, 0, source, 0, source.length, true)
    assert(at !== NONE, 'the log made room that was not there')
    const before = this.#jobs.at.location[slot] as number
    this.#jobs.at.location[slot] = at
    if (before !== NONE) this.#freeRecord(before as Location)
    return true
  }
}
