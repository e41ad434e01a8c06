// The submission of jobs: validated, written to their shard's ring, and tracked until the shard has
// answered. The same for a request, a batch and a socket; each gets the answer through Asker.

import { assert } from '../../shards/base/assert.ts'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, NONE, type UpstreamSlot } from '../../shards/base/units.ts'
import { isBefore } from '../../shards/memory/give-back.ts'
import { KIND_RECEIVER, KIND_UPSTREAM } from '../../shards/memory/layout.ts'
import { decodeUntrusted } from '../../shards/wire/codec.ts'
import {
  FLAG_ACCOUNT_QUEUE, FLAG_WATCH, type JobResult, type JobStatus, REFUSED_JOBS, REFUSED_KEY_JOBS,
  REFUSED_MEMORY, REFUSED_MEMORY_SHARE,
} from '../../shards/wire/contract.ts'
import { formatJobId } from '../../shards/wire/job-id.ts'
import { lacking, mayDo } from '../access/principal.ts'
import type { PoolContext } from '../base/account-share.ts'
import {
  type Denial, denialOf, type ErrorCode, ERRORS, limitReached, type Refusal, refuse,
  TOO_MANY_WATCHED, unavailable,
} from '../base/errors.ts'
import { shardOf, type UserHash } from '../base/hash.ts'
import type { JobIdSource } from '../base/job-id.ts'
import type { OriginRole } from '../config/door-settings.ts'
import { absenceOf, type BatchBells, type ShardLink } from '../engine/shard-link.ts'
import type { Asker, Ref, Ticket } from '../job/asker.ts'
import { isPlainObject } from '../job/job-headers.ts'
import { JobUrls } from '../job/job-url.ts'
import { parseBody } from '../job/parse-body.ts'
import { readRef, REF_DENIAL } from '../job/read-ref.ts'
import { validateJob, type ValidJob } from '../job/validate.ts'
import { JobHoles } from '../shapes/job-holes.ts'
import type { Outline } from '../shapes/outline.ts'
import { PackedFrame } from '../shapes/packed-frame.ts'
import { PackedShapes } from '../shapes/packed-shapes.ts'
import { JobText } from '../shapes/scan/job-text.ts'
import { JsonScanner } from '../shapes/scan/json-scanner.ts'
import { makeProbes, Shapes } from '../shapes/shapes.ts'
import type { Admission, LimitReason } from './admission.ts'
import type { CallerLimits } from './caller-limits.ts'
import { type Placement, Submitter } from './enqueue.ts'
import { PendingJobs, type PendingTable } from './pending-jobs.ts'
import type { PeerJobs, Submission } from './submission.ts'
import type { Upstreams } from './upstream-slots.ts'
import type { Watches } from './watches.ts'

/** What submission depends on. */
export interface SubmissionParts {
  readonly links: readonly ShardLink[]
  readonly clock: Clock
  readonly admission: Admission
  readonly upstreams: Upstreams
  readonly watches: Watches
  readonly bells: BatchBells
  readonly ids: JobIdSource
  readonly secret: Uint8Array
  readonly bodyBytesMax: number
  /** Whether a caller may switch on the account queues of an origin. */
  readonly mayAskAccountQueue: (origin: string) => boolean
  /** Whether jobs may name an origin. */
  readonly isListed: (origin: string, role: OriginRole) => boolean
  /** The pending jobs. */
  readonly pending: PendingTable
  readonly context: PoolContext
  readonly callers: CallerLimits
  /** Whether the front door accepts jobs at all. */
  readonly isOpen: () => boolean
  /** The peer that jobs are submitted to instead of the shards; null for none. */
  readonly peer: () => PeerJobs | null
}

/** An asker that submits many jobs in one message. */
export interface MessageAsker extends Asker {
  /** Counts one more pending job; false when there are too many, which it has then answered. */
  begin(ref: Ref): boolean
  /** Whether one more job may be watched; false when that has been answered. */
  mayWatch(ref: Ref): boolean
  /** Denies a job without a readable ref. */
  deniedAt(index: number, denial: Denial): void
}

/** Submits jobs and passes their answers on. */
export class Submissions {
  readonly #parts: SubmissionParts
  readonly #pending: PendingJobs
  readonly #urls = new JobUrls()
  readonly #submitter: Submitter
  readonly #shapes: Shapes
  readonly #text: JobText
  readonly #holes = new JobHoles()
  readonly #frame: PackedFrame
  readonly #packedShapes = new PackedShapes()
  readonly #scanner: JsonScanner
  readonly #placement: Placement
  #nowUs: Micros
  /** `turn` of the bells when the time was read. */
  #turn = -1

  constructor(parts: SubmissionParts) {
    this.#parts = parts
    const { ids, links } = parts
    const link = links[0]
    assert(link !== undefined, 'a front door without shards')
    this.#pending = new PendingJobs(parts.pending, parts.context)
    this.#submitter = new Submitter(parts.secret, ids)
    this.#text = new JobText(parts.bodyBytesMax)
    this.#shapes = new Shapes(this.#text, makeProbes(ids))
    this.#scanner = new JsonScanner(this.#text, ids.nextWord())
    this.#frame = new PackedFrame(ids.nextWord())
    this.#placement = { link, request: NONE, flags: 0, createdAtMs: 0 }
    this.#nowUs = parts.clock.nowUs()
  }

  /** Jobs that wait for a shard's answer. */
  get pending(): number {
    return this.#pending.size
  }

  /** Why no job of this asker can be accepted now; undefined when one can. */
  refusal(asker: { readonly isBulk: boolean }): ErrorCode | undefined {
    if (!this.#parts.isOpen()) return 'draining'
    return this.#pending.isFullFor(asker) ? 'overloaded' : undefined
  }

  // --- submission ---

  /** Submits a job in JSON or MessagePack. */
  submit(asker: Asker, ref: Ref, body: Uint8Array, submission: Submission): void {
    const peer = this.#parts.peer()
    if (peer !== null) {
      const copy = Buffer.from(body)
      return peer.submit(asker, ref, copy, submission,
        () => this.submit(asker, ref, copy, submission))
    }
    this.#readTime()
    const { principal } = asker
    const flags = submission.wantsAccountQueue ? FLAG_ACCOUNT_QUEUE : 0
    const text = this.#text
    text.take(body)
    this.#holes.setCaller(principal.caller)
    const isScanned = submission.format === 'json' && submission.idempotencyKey === '' &&
      this.#scanner.scan(this.#holes)
    const known = isScanned ? this.#shapes.match(this.#holes) : undefined
    if (known !== undefined) {
      this.#scanner.expectTheSame()
      if (this.#isCurrent(known)) {
        return this.#sendKnown(asker, ref, known, text.view, this.#holes, flags)
      }
      this.#shapes.forget(this.#holes)
    }
    const parsed = parseBody(text.whole(), submission.format)
    const job = parsed.ok
      ? validateJob(parsed.value, submission.idempotencyKey, this.#urls, principal.user) : parsed
    if (!job.ok) return this.#invalid(asker, ref, job)
    const outline = this.#send(asker, ref, job, flags)
    if (outline === undefined || !isScanned) return
    if (this.#shapes.isWorthLearning(job, this.#holes)) {
      this.#shapes.learn(this.#holes, outline)
    }
  }

  /** Submits the jobs of a decoded message. */
  submitAll(asker: MessageAsker, jobs: readonly unknown[], wantsAccountQueue: boolean): void {
    this.#readTime()
    const flags = wantsAccountQueue ? FLAG_ACCOUNT_QUEUE : 0
    for (const [index, value] of jobs.entries()) this.#submitValue(asker, value, index, flags)
  }

  /** Submits the jobs of a binary frame; false when it must be decoded. */
  submitPacked(asker: MessageAsker, bytes: Buffer, wantsAccountQueue: boolean): boolean {
    const frame = this.#frame
    if (!frame.scan(bytes)) return false
    const flags = wantsAccountQueue ? FLAG_ACCOUNT_QUEUE : 0
    frame.holes.setCaller(asker.principal.caller)
    this.#readTime()
    for (let job = 0; job < frame.count; job++) {
      const isUsual = frame.open(job)
      const ref = isUsual ? frame.ref() : undefined
      const known = ref === undefined ? undefined : this.#packedShapes.match(frame)
      if (ref !== undefined && known !== undefined && this.#isCurrent(known)) {
        const isWatched = (known.flags & FLAG_WATCH) !== 0
        if (!asker.begin(ref) || (isWatched && !asker.mayWatch(ref))) continue
        this.#sendKnown(asker, ref, known, frame.view, frame.holes, flags)
      } else {
        if (known !== undefined) this.#packedShapes.forget(frame)
        this.#submitUnknown(asker, job, isUsual, flags)
      }
    }
    return true
  }

  // --- answers of the shards ---

  accepted(request: number): void {
    const asker = this.#pending.take(request)
    if (asker === undefined) return
    const { ticket } = this.#pending
    this.#parts.admission.accepted(ticket.shard)
    asker.accepted(ticket)
  }

  duplicate(request: number, jobId: string, status: JobStatus, result: JobResult | null): void {
    const asker = this.#take(request)
    if (asker === undefined) return
    this.#parts.admission.duplicate()
    asker.duplicate(this.#pending.ticket, jobId, status, result)
  }

  /** @param jobId the job that holds the key. */
  reused(request: number, jobId: string): void {
    const asker = this.#take(request)
    if (asker === undefined) return
    this.#parts.admission.reused()
    asker.denied(this.#pending.ticket.ref, {
      code: 'idempotent_key_reused', error: ERRORS.idempotent_key_reused.meaning,
      more: { job_id: jobId },
    })
  }

  /** @param reason REFUSED_… */
  refused(request: number, reason: number, limit: number, current: number): void {
    const asker = this.#take(request)
    if (asker === undefined) return
    const { ref, shard } = this.#pending.ticket
    if (reason !== REFUSED_KEY_JOBS) {
      return this.#full(asker, ref, shard, REASONS[reason] as LimitReason, limit, current)
    }
    this.#parts.admission.keyRefused('key_jobs')
    asker.denied(ref, limitReached('key_jobs', limit, current))
  }

  dropped(request: number): void {
    const asker = this.#take(request)
    asker?.denied(this.#pending.ticket.ref, unavailable('request_crashed'))
  }

  /** A shard does not answer for now: withdraws and denies what it has not taken. */
  giveUp({ ingress, shard }: ShardLink, code: ErrorCode): void {
    for (const request of this.#pending.requestsOf(shard)) {
      if (ingress.withdraw(this.#pending.positionOf(request))) this.#refuse(request, code)
    }
  }

  /** A shard took the requests before this position and gave them back unanswered. */
  givenBack(shard: number, position: number, code: ErrorCode): void {
    for (const request of this.#pending.requestsOf(shard)) {
      if (!isBefore(this.#pending.positionOf(request), position)) continue
      this.#refuse(request, code)
    }
  }

  /** A shard will send nothing more; it may have accepted what it took. */
  abandon(shard: number): void {
    for (const request of this.#pending.requestsOf(shard)) this.#refuse(request, 'answer_unknown')
  }

  // --- inside ---

  #refuse(request: number, code: ErrorCode): void {
    const asker = this.#take(request)
    if (asker !== undefined) this.#unavailable(asker, this.#pending.ticket.ref, code)
  }

  /** Removes a job that will have no events under its own id; returns its asker. */
  #take(request: number): Asker | undefined {
    const asker = this.#pending.take(request)
    const { ticket } = this.#pending
    if (asker !== undefined && ticket.isWatched) this.#parts.watches.giveUp(idOf(ticket), false)
    return asker
  }

  /** Reads the clock once per message, and once per event-loop iteration with many requests. */
  #readTime(): void {
    const { bells, clock } = this.#parts
    if (bells.isWaiting && bells.turn === this.#turn) return
    this.#turn = bells.turn
    this.#nowUs = clock.nowUs()
    this.#placement.createdAtMs = clock.wallMs(this.#nowUs)
  }

  #submitUnknown(asker: MessageAsker, job: number, isUsual: boolean, flags: number): void {
    const frame = this.#frame
    const { end, start } = frame.holes
    const decoded = decodeUntrusted(frame.bytes.subarray(start, end))
    if (!decoded.ok) {
      this.#parts.admission.invalid()
      return asker.deniedAt(job, NOT_MSGPACK)
    }
    const sent = this.#submitValue(asker, decoded.value, job, flags)
    if (sent !== undefined && isUsual) this.#packedShapes.learn(frame, sent.job, sent.outline)
  }

  #submitValue(asker: MessageAsker, value: unknown, index: number, flags: number):
    { readonly job: ValidJob; readonly outline: Outline } | undefined {
    const ref = isPlainObject(value) ? readRef(value['ref']) : null
    if (ref === null) {
      this.#parts.admission.invalid()
      asker.deniedAt(index, isPlainObject(value) ? REF_DENIAL : NOT_A_JOB)
      return undefined
    }
    if (!asker.begin(ref)) return undefined
    const { principal } = asker
    const job = validateJob(value, '', this.#urls, principal.user)
    const isWatched = (value as Record<string, unknown>)['watch'] ?? false
    if (!job.ok || typeof isWatched !== 'boolean') {
      this.#invalid(asker, ref, job.ok ? NOT_A_BOOLEAN : job)
      return undefined
    }
    if (isWatched && !mayDo(principal, 'read')) {
      asker.denied(ref, lacking('read'))
      return undefined
    }
    if (isWatched && !asker.mayWatch(ref)) return undefined
    const outline = this.#send(asker, ref, job, flags | (isWatched ? FLAG_WATCH : 0))
    return outline === undefined ? undefined : { job, outline }
  }

  /** Sends a job of a known shape. */
  #sendKnown(
    asker: Asker, ref: Ref, outline: Outline, view: DataView, holes: JobHoles, flags: number,
  ): void {
    if (holes.hasBody && holes.bodyBytes > this.#parts.bodyBytesMax) {
      return this.#tooLarge(asker, ref)
    }
    if (!this.#maySubmit(asker, ref, outline, outline.flags)) return
    this.#place(asker, ref, outline, flags)
    this.#placed(asker, ref, outline,
      this.#submitter.sendRaw(outline, view, holes, this.#placement))
  }

  /** Sends a job that was validated in full; returns its outline once it is in the ring. */
  #send(asker: Asker, ref: Ref, job: ValidJob, flags: number): Outline | undefined {
    if (job.body !== null && job.body.length > this.#parts.bodyBytesMax) {
      this.#tooLarge(asker, ref)
      return undefined
    }
    const unlisted = this.#unlistedIn(job)
    if (unlisted !== undefined) {
      this.#invalid(asker, ref, unlisted)
      return undefined
    }
    const user = this.#submitter.user(job, asker.principal)
    if (!this.#maySubmit(asker, ref, user, flags)) return undefined
    const outline = this.#outline(asker, ref, job, user, flags)
    if (outline === undefined) return undefined
    this.#place(asker, ref, outline, flags)
    const isSent = this.#submitter.send(outline, job, this.#placement)
    return this.#placed(asker, ref, outline, isSent) ? outline : undefined
  }

  /** The refusal of a job whose upstream or receiver may not be named; known outlines have none. */
  #unlistedIn({ url, webhook }: ValidJob): Refusal | undefined {
    const { isListed } = this.#parts
    if (!isListed(url.origin, 'upstream')) {
      return refuse('upstream_not_listed', 'url', 'url names a host that is not in upstreams')
    }
    if (webhook === null || isListed(webhook.origin, 'receiver')) return undefined
    return refuse('upstream_not_listed', 'webhook_url',
      'webhook_url names a host that is not in webhooks.receivers')
  }

  #linkOf(route: number): ShardLink {
    const { links } = this.#parts
    return links[shardOf(route, links.length)] as ShardLink
  }

  /** Whether the upstreams of a known outline still have the same slots. */
  #isCurrent(outline: Outline): boolean {
    const { upstreams } = this.#parts
    const { receiverOrigin, upstreamOrigin } = outline
    const nowUs = this.#nowUs
    return upstreams.claim(upstreamOrigin, KIND_UPSTREAM, outline, nowUs) === outline.upstream &&
      (receiverOrigin === null ||
        upstreams.claim(receiverOrigin, KIND_RECEIVER, outline, nowUs) === outline.receiver)
  }

  /** Whether the job may be sent to its user's shard; if not, it has been answered. */
  #maySubmit(asker: Asker, ref: Ref, { route, tenant }: UserHash, flags: number): boolean {
    const { shard } = this.#linkOf(route)
    // Checked again: the state may have changed while the body arrived.
    const refusal = this.refusal(asker) ?? absenceOf(this.#linkOf(route))
    if (refusal !== undefined) this.#unavailable(asker, ref, refusal)
    else if (this.#pending.refusal(asker, route) !== undefined) {
      const { current, limit } = this.#pending.share(asker, route)
      this.#full(asker, ref, shard, 'requests_share', limit, current)
    } else if ((flags & FLAG_WATCH) !== 0 && !this.#parts.watches.mayWatchNew(route, tenant)) {
      asker.denied(ref, TOO_MANY_WATCHED)
    } else {
      const denial = this.#parts.callers.refusal(
        asker.principal, this.#nowUs, this.#placement.createdAtMs)
      if (denial === undefined) return true
      asker.denied(ref, denial)
    }
    return false
  }

  /** The job's outline, with slots for its upstreams; undefined: answered with 429. */
  #outline(
    asker: Asker, ref: Ref, job: ValidJob, user: UserHash, flags: number,
  ): Outline | undefined {
    const { upstreams } = this.#parts
    const upstream = upstreams.claim(job.url.origin, KIND_UPSTREAM, user, this.#nowUs)
    const receiver = job.webhook === null
      ? NONE as UpstreamSlot
      : upstreams.claim(job.webhook.origin, KIND_RECEIVER, user, this.#nowUs)
    if (upstream !== NONE && (job.webhook === null || receiver !== NONE)) {
      return this.#submitter.outline(job, asker.principal, user, upstream, receiver,
        flags & FLAG_WATCH)
    }
    const { current, limit, reason } = upstreams.shortage(user)
    this.#full(asker, ref, this.#linkOf(user.route).shard, reason, limit, current)
    return undefined
  }

  /** Adds the job that is about to be sent to the pending ones. */
  #place(asker: Asker, ref: Ref, outline: Outline, flags: number): void {
    const link = this.#linkOf(outline.route)
    const isWatched = (outline.flags & FLAG_WATCH) !== 0
    const placement = this.#placement
    placement.link = link
    placement.request = this.#pending.add(
      asker, ref, link.shard, outline.route, isWatched)
    const isRefused = (flags & FLAG_ACCOUNT_QUEUE) !== 0 &&
      !this.#parts.mayAskAccountQueue(outline.upstreamOrigin)
    placement.flags = isRefused ? flags & ~FLAG_ACCOUNT_QUEUE : flags
  }

  /** Completes a send: records the job's id, or answers that the ring was full. */
  #placed(asker: Asker, ref: Ref, outline: Outline, isSent: boolean): boolean {
    const { link, request } = this.#placement
    if (!isSent) {
      this.#pending.take(request)
      this.#full(asker, ref, link.shard, 'ingress', link.views.limits.ringBytes,
        link.ingress.fillBytes())
      return false
    }
    const { idHigh, idLow, position } = this.#submitter
    const { route } = outline
    this.#pending.sent(request, idHigh, idLow, position)
    if ((outline.flags & FLAG_WATCH) !== 0) {
      this.#parts.watches.expect(formatJobId(route, idHigh, idLow), outline.tenant)
    }
    this.#parts.bells.ringSoon(link.shard)
    return true
  }

  #invalid(asker: Asker, ref: Ref, refusal: Refusal): void {
    this.#parts.admission.invalid()
    asker.denied(ref, denialOf(refusal))
  }

  #tooLarge(asker: Asker, ref: Ref): void {
    const limit = this.#parts.bodyBytesMax
    this.#parts.admission.invalid()
    asker.denied(ref, {
      code: 'body_too_large', error: `the body has more than ${limit} bytes`, more: { limit },
    })
  }

  #unavailable(asker: Asker, ref: Ref, code: ErrorCode): void {
    this.#parts.admission.unavailable()
    asker.denied(ref, unavailable(code))
  }

  #full(
    asker: Asker, ref: Ref, shard: number, reason: LimitReason, limit: number, current: number,
  ): void {
    asker.denied(ref, limitReached(reason, limit, current,
      this.#parts.admission.refused(shard, reason, this.#parts.clock.nowUs())))
  }
}

/** By the shards' REFUSED_… */
const REASONS: Readonly<Record<number, LimitReason>> = {
  [REFUSED_MEMORY]: 'memory', [REFUSED_JOBS]: 'jobs', [REFUSED_MEMORY_SHARE]: 'memory_share',
}

const idOf = ({ route, idHigh, idLow }: Ticket): string => formatJobId(route, idHigh, idLow)

const NOT_A_JOB = denialOf(refuse('not_an_object', '', 'the job is not an object'))
// The scan of the frame has found no other fault in it.
const NOT_MSGPACK =
  denialOf(refuse('invalid_msgpack', '', 'the job has a text that is not UTF-8'))
const NOT_A_BOOLEAN = refuse('wrong_type', 'watch', 'watch is not a boolean')
