// Writes the shard's answers and events for the front door into the answer ring.
// Thread: shard. Memory: writes the answer ring; main's bell, once a turn.
// Never: waits for space: if the ring is full it returns false, and the caller keeps its request.

import type { JobSlot, UpstreamSlot } from '../base/units.ts'
import type { CrashNotes } from '../memory/crash-notes.ts'
import type { Bell } from '../memory/doorbell.ts'
import { isBefore } from '../memory/give-back.ts'
import type { RingViews } from '../memory/layout.ts'
import { RING_FULL, RingWriter } from '../memory/ring.ts'
import type { JobSlots } from '../store/job-slots.ts'
import { encodeValue } from '../wire/codec.ts'
import {
  ANSWER_ACCEPTED, ANSWER_DROPPED, ANSWER_DUPLICATE, ANSWER_EVENT, ANSWER_JOB,
  ANSWER_REFUSED, ANSWER_RELEASED, ANSWER_REUSED, ANSWER_WARNING, type JobResult, type JobSnapshot,
  type ShardWarning,
} from '../wire/contract.ts'

const WORD_BYTES = 4
/** Any answer without an encoded part fits in this. */
const PLAIN_ANSWER_BYTES = 24
const NO_BYTES = new Uint8Array(0)

/** Writes one shard's answer records. */
export class AnswerWriter {
  readonly #ring: RingWriter
  readonly #bell: Bell
  readonly #jobs: JobSlots
  readonly #notes: CrashNotes
  /** Initially true: a crashed predecessor may not have rung for its last answers. */
  #written = true
  /** The position of the request being answered. */
  #answeredAt = 0
  #isMuted = false
  /** Answers before this position must be published. */
  #ringDueUntil: number

  /** @param isHeld whether answers become visible to the front door only by publish(). */
  constructor(
    views: RingViews, bell: Bell, jobs: JobSlots, notes: CrashNotes, isHeld: boolean,
  ) {
    this.#ring = new RingWriter(views, isHeld)
    this.#ringDueUntil = this.#ring.published
    this.#bell = bell
    this.#jobs = jobs
    this.#notes = notes
  }

  /** Later answers are to the request at this position of the ingress ring. */
  beginRequest(position: number, isMuted: boolean): void {
    this.#answeredAt = position
    this.#isMuted = isMuted
  }

  /** After a crash, before any write: checks whether the last answer was committed. */
  recover(): void {
    this.#notes.checkAnswer(this.#ring.tailNext)
  }

  /** Whether a crashed thread has answered a request that it had not consumed yet. */
  hasAnswered(position: number): boolean {
    return this.#notes.hasAnswered(position)
  }

  /** Whether that answer was a promise, whose work may not have been done. */
  hasPromised(position: number): boolean {
    return this.#notes.hasPromised(position)
  }

  /** Whether there is space for an acceptance or a refusal now. */
  hasRoom(): boolean {
    return this.#ring.fits(PLAIN_ANSWER_BYTES)
  }

  accepted(request: number): boolean {
    const at = this.#claim(ANSWER_ACCEPTED, 1, NO_BYTES)
    if (at < 0) return false
    this.#ring.u32[at] = request
    return this.#commitAnswer()
  }

  /**
   * The same for a job that a predecessor has stored, which is in its lane already: it may be sent
   * before this is published, so its request cannot be given back.
   */
  acceptedBefore(request: number): boolean {
    if (!this.accepted(request)) return false
    this.#ringDueUntil = this.#ring.tailNext
    return true
  }

  /** Whether no unpublished answer must be published. */
  get mayGiveBack(): boolean {
    return !isBefore(this.#ring.published, this.#ringDueUntil)
  }

  /** The request cannot be handled: it crashes the thread. */
  dropped(request: number): boolean {
    const at = this.#claim(ANSWER_DROPPED, 1, NO_BYTES)
    if (at < 0) return false
    this.#ring.u32[at] = request
    return this.#commitAnswer()
  }

  /** A known key; `result` is defined if the job that holds it is finished. */
  duplicate(request: number, slot: JobSlot, result: JobResult | undefined): boolean {
    const encoded = encodeValue(result ?? null)
    const at = this.#claim(ANSWER_DUPLICATE, 5, encoded)
    if (at < 0) return false
    this.#ring.u32[at] = request
    this.#putId(at + 1, slot)
    this.#ring.u32[at + 4] = this.#jobs.state(slot)
    return this.#commitAnswer()
  }

  /** A known key with a request that differs from its job's. */
  reused(request: number, slot: JobSlot): boolean {
    const at = this.#claim(ANSWER_REUSED, 4, NO_BYTES)
    if (at < 0) return false
    this.#ring.u32[at] = request
    this.#putId(at + 1, slot)
    return this.#commitAnswer()
  }

  /** @param reason REFUSED_… with the limit that was reached and how much is in use. */
  refused(request: number, reason: number, limit: number, current: number): boolean {
    const at = this.#claim(ANSWER_REFUSED, 6, NO_BYTES)
    if (at < 0) return false
    this.#ring.u32[at] = request
    this.#ring.u32[at + 1] = reason
    this.#ring.f64[at / 2 + 1] = limit
    this.#ring.f64[at / 2 + 2] = current
    return this.#commitAnswer()
  }

  /**
   * Answers GET, CANCEL and WATCH. @param isPromise the answer reports work that is done after it.
   * If this thread crashes, its successor does that work; it ignores all other answered requests.
   */
  job(request: number, code: number, view: JobSnapshot | null, isPromise = false): boolean {
    if (this.#isMuted) return true
    const at = this.#claim(ANSWER_JOB, 2, encodeValue(view))
    if (at < 0) return false
    this.#ring.u32[at] = request
    this.#ring.u32[at + 1] = code
    return this.#commitAnswer(isPromise)
  }

  event(slot: JobSlot, event: number, data: object): boolean {
    const at = this.#claim(ANSWER_EVENT, 4, encodeValue(data))
    if (at < 0) return false
    this.#ring.u32[at] = event
    this.#putId(at + 1, slot)
    return this.#commit()
  }

  released(request: number, done: boolean): boolean {
    if (this.#isMuted) return true
    const at = this.#claim(ANSWER_RELEASED, 2, NO_BYTES)
    if (at < 0) return false
    this.#ring.u32[at] = request
    this.#ring.u32[at + 1] = done ? 1 : 0
    return this.#commitAnswer(done)
  }

  /** For the program's log, so it is dropped when the ring is full. */
  warning(upstream: UpstreamSlot, warning: ShardWarning): void {
    const at = this.#claim(ANSWER_WARNING, 2, encodeValue(warning))
    if (at < 0) return
    this.#ring.u32[at] = upstream
    this.#commit()
  }

  /** The writer's position in the ring; everything before it can be published. */
  get position(): number {
    return this.#ring.tailNext
  }

  /** The published tail. */
  get published(): number {
    return this.#ring.published
  }

  /** Rings main's bell for something outside of the ring. */
  ring(): void {
    this.#bell.ring()
  }

  /** Publishes held answers up to an earlier position, and rings. */
  publish(position: number): void {
    const isMore = this.#ring.publish(position)
    if (!isMore && !this.#written) return
    this.#written = false
    this.#bell.ring()
  }

  /** Rings for what was written since the last call. */
  flush(): void {
    if (!this.#written) return
    this.#written = false
    this.#bell.ring()
  }

  /** @returns the payload's place in 32-bit words, or a negative number when the ring is full. */
  #claim(kind: number, words: number, encoded: Uint8Array): number {
    const offset = this.#ring.claim(kind, words * WORD_BYTES + encoded.length)
    if (offset === RING_FULL) return -1
    if (encoded.length > 0) this.#ring.bytes.set(encoded, offset + words * WORD_BYTES)
    return offset / WORD_BYTES
  }

  /** Notes the answer, so that a request is answered once even if the thread crashes after it. */
  #commitAnswer(isPromise = false): boolean {
    this.#notes.answering(this.#answeredAt, this.#ring.tailNext, isPromise)
    return this.#commit()
  }

  #commit(): boolean {
    this.#ring.commit()
    this.#written = true
    return true
  }

  #putId(at: number, slot: JobSlot): void {
    const { route, idHigh, idLow } = this.#jobs.at
    this.#ring.u32[at] = route[slot] as number
    this.#ring.u32[at + 1] = idHigh[slot] as number
    this.#ring.u32[at + 2] = idLow[slot] as number
  }
}
