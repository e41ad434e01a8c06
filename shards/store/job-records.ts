// A job's record in the log: its template and body until it is finished, then its result.
// Thread: shard. Memory: through the log, the templates and jobs.location; a scratch buffer.
// Never: keeps a location across a call that may clean the log, which can move the record.
// A job has one record at a time. A result inherits the template from its job's record: a reference
// to a shared one, or a copy of the few fields that it needs.

import { assert } from '../base/assert.ts'
import {
  type JobSlot, type Location, NONE, type TemplateSlot, powerOfTwoAtLeast,
} from '../base/units.ts'
import {
  LOG_RECORD_HEADER_BYTES, TEMPLATE_DECODED_BYTES_MAX, TEMPLATE_PER_RESULT_BYTES_MAX,
} from '../memory/limits.ts'
import {
  type JobPayload, decodeCreatedAt, decodeJob, decodeTemplate, encodeTemplate,
} from '../wire/codec.ts'
import { type DecodedTemplate, DecodedTemplates, splitTemplate } from './decoded-templates.ts'
import {
  type JobLog, LOG_JOB_INLINE, LOG_JOB_SHARED, LOG_RESULT_INLINE, LOG_RESULT_SHARED, LOG_TEMPLATE,
  type LogOwners,
} from './job-log.ts'
import { JOB_FREE, type JobSlots } from './job-slots.ts'
import {
  type StoredResult, readBodyBytes, readCreatedAt, readStoredResult, readResult, resultBytes,
  writeResult,
} from './stored-result.ts'
import type { Templates, TemplateSource } from './templates.ts'

const SCRATCH_BYTES_MIN = 4096

const isShared = (kind: number): boolean => kind === LOG_JOB_SHARED || kind === LOG_RESULT_SHARED
const isResult = (kind: number): boolean =>
  kind === LOG_RESULT_SHARED || kind === LOG_RESULT_INLINE

/** Encodes the template's fields that a result needs. */
const encodeRest = ({ url, method, webhookUrl, receiver }: DecodedTemplate): Uint8Array =>
  encodeTemplate({ userId: '', url, method, headers: [], webhookUrl, receiver })

/** Reads and writes the jobs' records in the log. */
export class JobRecords implements LogOwners {
  readonly #log: JobLog
  readonly #jobs: JobSlots
  readonly #templates: Templates
  readonly #decoded = new DecodedTemplates()
  /** Buffer in which a result is encoded; as large as the largest so far, which is bounded. */
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES_MIN)

  constructor(log: JobLog, jobs: JobSlots, templates: Templates) {
    this.#log = log
    this.#jobs = jobs
    this.#templates = templates
  }

  // --- LogOwners, called by the log while it cleans ---

  isLive(kind: number, owner: number, at: Location): boolean {
    if (kind === LOG_TEMPLATE) return this.#templates.isLive(owner as TemplateSlot, at)
    return this.#jobs.at.location[owner] === at && this.#jobs.at.state[owner] !== JOB_FREE
  }

  moved(kind: number, owner: number, to: Location): void {
    if (kind === LOG_TEMPLATE) this.#templates.moved(owner as TemplateSlot, to)
    else this.#place(owner as JobSlot, to)
  }

  // --- jobs ---

  /** Whether the log may take a new job of `bytes` (template and body, encoded). */
  admits(bytes: number): boolean {
    return this.#log.admits(bytes + LOG_RECORD_HEADER_BYTES)
  }

  /**
   * Stores a new job's template and body, which are adjacent in `source`. False, and nothing is
   * stored, when the log has no space even after cleaning.
   * @param start a multiple of four.
   */
  storeJob(
    slot: JobSlot, source: TemplateSource, start: number, bodyStart: number, end: number,
    hash: number,
  ): boolean {
    if (!this.#log.makeRoom(end - start + 2 * LOG_RECORD_HEADER_BYTES, this)) return false
    const template = this.#templates.share(hash, source, start, bodyStart)
    const at = template === NONE
      ? this.#log.append(LOG_JOB_INLINE, slot, bodyStart - start, source.bytes, start, end, false)
      : this.#log.append(LOG_JOB_SHARED, slot, template, source.bytes, bodyStart, end, false)
    if (at === NONE) {
      if (template !== NONE) this.#release(template as TemplateSlot)
      return false
    }
    this.#place(slot, at)
    return true
  }

  /** After recovery of the log: counts the record's reference to a shared template. */
  recoverReference(slot: JobSlot): void {
    const shared = this.#sharedOf(this.#jobs.at.location[slot] as number)
    if (shared !== NONE) this.#templates.addReference(shared as TemplateSlot)
  }

  /**
   * The job's template, before and after it is finished. A finished job's may lack user and
   * headers, which its result does not need.
   */
  readTemplate(slot: JobSlot): DecodedTemplate {
    const at = this.#jobs.at.location[slot] as Location
    const word = this.#log.wordOf(at)
    if (isShared(this.#log.kindOf(at))) {
      return this.#decoded.find(word as TemplateSlot) ?? this.#decodeShared(word as TemplateSlot)
    }
    const start = this.#log.startOf(at)
    return splitTemplate(decodeTemplate(this.#log.bytesOf(at), start, start + word))
  }

  readJob(slot: JobSlot): JobPayload {
    const at = this.#jobs.at.location[slot] as Location
    assert(!isResult(this.#log.kindOf(at)), 'the record is not a job')
    return decodeJob(this.#log.bytesOf(at), this.#ownStart(at), this.#log.endOf(at))
  }

  /** When the job was created, in Unix ms; before and after it is finished. */
  createdAtMs(slot: JobSlot): number {
    const at = this.#jobs.at.location[slot] as Location
    const read = isResult(this.#log.kindOf(at)) ? readCreatedAt : decodeCreatedAt
    return read(this.#log.bytesOf(at), this.#ownStart(at))
  }

  /** Whether the slot's record is its result, not its job; false when it has none. */
  hasResult(slot: JobSlot): boolean {
    const at = this.#jobs.at.location[slot] as number
    return at !== NONE && isResult(this.#log.kindOf(at as Location))
  }

  // --- results ---

  /**
   * Replaces the job's record, or an earlier result, by the result. If the log has no space for the
   * body, it is omitted and the result is marked truncated. False if there is no space for the
   * rest either: the earlier record is then unchanged.
   * @param template the job's, as returned by readTemplate().
   */
  storeResult(slot: JobSlot, template: DecodedTemplate, result: StoredResult): boolean {
    if (this.#replace(slot, template, result)) return true
    return result.body !== null &&
      this.#replace(slot, template, { ...result, body: null, truncated: true })
  }

  readResult(slot: JobSlot): StoredResult {
    const at = this.#jobs.at.location[slot] as Location
    assert(isResult(this.#log.kindOf(at)), 'the record is not a result')
    return readResult(this.#log.bytesOf(at), this.#ownStart(at), this.#log.endOf(at))
  }

  /** The length of the slot's result body; 0 when it has no body, or no record. */
  bodyBytesOf(slot: JobSlot): number {
    const at = this.#jobs.at.location[slot] as Location
    if (!this.hasResult(slot)) return 0
    return readBodyBytes(this.#log.bytesOf(at), this.#ownStart(at), this.#log.endOf(at))
  }

  /** Drops the result's body and marks it truncated; false if there is no space even for that. */
  dropBody(slot: JobSlot): boolean {
    const at = this.#jobs.at.location[slot] as Location
    const result = readStoredResult(this.#log.bytesOf(at), this.#ownStart(at))
    return this.#replace(slot, this.readTemplate(slot), { ...result, truncated: true })
  }

  /** Whether a result of so many bytes may replace the slot's record. */
  admitsBody(slot: JobSlot, bytes: number): boolean {
    return this.#log.admitsBody(bytes, this.bytesOf(slot))
  }

  /** The bytes of the slot's record; 0 when it has none. */
  bytesOf(slot: JobSlot): number {
    const at = this.#jobs.at.location[slot] as number
    return at === NONE ? 0 : this.#log.lengthOf(at as Location)
  }

  /** Frees the slot's record and its reference to a shared template. */
  free(slot: JobSlot): void {
    const at = this.#jobs.at.location[slot] as number
    if (at === NONE) return
    const shared = this.#sharedOf(at)
    this.#place(slot, NONE)
    this.#log.free(at as Location)
    if (shared !== NONE) this.#release(shared as TemplateSlot)
  }

  /** Writes the result's record, which inherits the earlier one's shared template. */
  #replace(slot: JobSlot, template: DecodedTemplate, result: StoredResult): boolean {
    const shared = this.#sharedOf(this.#jobs.at.location[slot] as number)
    const keepsShared = shared !== NONE && this.#isWorthKeeping(shared as TemplateSlot, template)
    const inline = keepsShared ? undefined : encodeRest(template)
    const start = inline?.length ?? 0
    const end = start + resultBytes(result)
    if (!this.#log.makeRoom(end, this, true)) return false
    if (end > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(powerOfTwoAtLeast(end))
    if (inline !== undefined) this.#scratch.set(inline)
    writeResult(this.#scratch, start, result)
    const at = keepsShared
      ? this.#log.append(LOG_RESULT_SHARED, slot, shared, this.#scratch, 0, end, true)
      : this.#log.append(LOG_RESULT_INLINE, slot, start, this.#scratch, 0, end, true)
    assert(at !== NONE, 'makeRoom() did not make enough room')
    const before = this.#jobs.at.location[slot] as number
    this.#place(slot, at)
    if (before !== NONE) this.#log.free(before as Location)
    if (shared !== NONE && !keepsShared) this.#release(shared as TemplateSlot)
    return true
  }

  /** Whether keeping the template is cheaper, or nearly, than repeating its fields in results. */
  #isWorthKeeping(slot: TemplateSlot, { url, webhookUrl }: DecodedTemplate): boolean {
    const repeated = url.length + (webhookUrl?.length ?? 0) + TEMPLATE_PER_RESULT_BYTES_MAX
    return this.#log.lengthOf(this.#templates.locationOf(slot)) <=
      this.#templates.referencesOf(slot) * repeated
  }

  #decodeShared(slot: TemplateSlot): DecodedTemplate {
    const at = this.#templates.locationOf(slot)
    const template = splitTemplate(
      decodeTemplate(this.#log.bytesOf(at), this.#log.startOf(at), this.#log.endOf(at)))
    if (this.#log.lengthOf(at) <= TEMPLATE_DECODED_BYTES_MAX) this.#decoded.keep(slot, template)
    return template
  }

  /** The slot of a record's shared template; NONE without a record, or if it is inline. */
  #sharedOf(at: number): number {
    if (at === NONE || !isShared(this.#log.kindOf(at as Location))) return NONE
    return this.#log.wordOf(at as Location)
  }

  /** Where a record's job or result begins, after an inline template. */
  #ownStart(at: Location): number {
    const start = this.#log.startOf(at)
    return isShared(this.#log.kindOf(at)) ? start : start + this.#log.wordOf(at)
  }

  #place(slot: JobSlot, at: number): void {
    this.#jobs.touch(slot)
    this.#jobs.at.location[slot] = at
  }

  #release(template: TemplateSlot): void {
    if (this.#templates.release(template)) this.#decoded.forget(template)
  }
}
