// The key set that tokens are verified with: of a file, or fetched from a URL, again and again. If
// a fetch fails, the last good set stays in use.

import { readFileSync } from 'node:fs'
import { type JSONWebKeySet, type LocalJWKSet, createLocalJWKSet } from 'jose'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { JWKS_BYTES_MAX, JWKS_LIFETIME_MS, JWKS_PAUSE_MS_MIN } from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { JwksPlace, JwksUrl } from '../config/jwt-settings.ts'

/** A text, or the reason why there is none. */
export type Fetched = { readonly text: string } | { readonly error: string }

/** Fetches a text; never rejects. */
export type FetchText = (from: JwksUrl) => Promise<Fetched>

/** What a key set needs. */
export interface JwksParts {
  readonly place: JwksPlace
  readonly fetch: FetchText
  /** Its own, since a clock has one wake-up. */
  readonly clock: Clock
  readonly log: Log
  /** Called when the keys have become other ones. */
  readonly onChange: () => void
}

/** A key set, kept up to date; made by start(). */
export class Jwks {
  readonly #parts: JwksParts
  #place: JwksPlace
  #text = ''
  #keys: LocalJWKSet | undefined
  /** The fetch under way. */
  #fetching: Promise<void> | undefined
  /** No fetch begins before. */
  #nextUs = -Infinity
  #isClosed = false

  private constructor(parts: JwksParts) {
    this.#parts = parts
    this.#place = parts.place
  }

  /** Why a file cannot be used; undefined if it can, and for a URL. */
  static problem(place: JwksPlace): string | undefined {
    const read = 'file' in place ? readFile(place.file) : undefined
    return read !== undefined && 'error' in read ? read.error : undefined
  }

  /** Reads the file, or begins to fetch from the URL. Call problem() before. */
  static start(parts: JwksParts): Jwks {
    const jwks = new Jwks(parts)
    if ('file' in parts.place) jwks.#use(readFile(parts.place.file))
    else void jwks.refresh()
    return jwks
  }

  /** Undefined as long as none could be fetched. */
  get keys(): LocalJWKSet | undefined {
    return this.#keys
  }

  /** Fetches now, and resolves when that is over; undefined if it is too early, and for a file. */
  refresh(): Promise<void> | undefined {
    const { clock } = this.#parts
    if (this.#fetching !== undefined) return this.#fetching
    if ('file' in this.#place || this.#isClosed || clock.nowUs() < this.#nextUs) return undefined
    this.#fetching = this.#fetch(this.#place)
    return this.#fetching
  }

  /** Goes on with new rules for the same URL, and keeps its keys; false for another place. */
  keep(place: JwksPlace): boolean {
    if ('file' in place || 'file' in this.#place || place.url !== this.#place.url) return false
    this.#place = place
    void this.refresh()
    return true
  }

  close(): void {
    this.#isClosed = true
    this.#parts.clock.wakeAt(Infinity as Micros, this.#wake)
  }

  async #fetch(from: JwksUrl): Promise<void> {
    const { clock, fetch, log } = this.#parts
    const fetched = await fetch(from)
    this.#fetching = undefined
    if (this.#isClosed) return
    const problem = this.#use('text' in fetched ? parse(fetched.text, from.url) : fetched)
    if (problem !== undefined) {
      log.warn({ url: from.url, reason: problem }, this.#keys === undefined
        ? 'cannot fetch the key set: no token can be verified'
        : 'cannot fetch the key set: the last one stays in use')
    }
    const nowUs = clock.nowUs()
    this.#nextUs = nowUs + msToUs(JWKS_PAUSE_MS_MIN)
    const pauseMs = problem === undefined ? JWKS_LIFETIME_MS : JWKS_PAUSE_MS_MIN
    clock.wakeAt(nowUs + msToUs(pauseMs) as Micros, this.#wake)
  }

  readonly #wake = (): void => { void this.refresh() }

  #use(read: Parsed): string | undefined {
    if ('error' in read) return read.error
    if (read.text === this.#text) return undefined
    this.#text = read.text
    this.#keys = read.keys
    this.#parts.onChange()
    return undefined
  }
}

type Parsed = { readonly text: string, readonly keys: LocalJWKSet } | { readonly error: string }

function readFile(file: string): Parsed {
  try {
    return parse(readFileSync(file, 'utf8'), file)
  } catch (error) {
    return { error: `cannot read the key set: ${(error as Error).message}` }
  }
}

function parse(text: string, from: string): Parsed {
  const refuse = (expected: string): Parsed => ({ error: `the key set of ${from} ${expected}` })
  if (Buffer.byteLength(text) > JWKS_BYTES_MAX) {
    return refuse(`has more than ${JWKS_BYTES_MAX} bytes`)
  }
  try {
    const value = JSON.parse(text) as JSONWebKeySet
    const keys = createLocalJWKSet(value)
    return value.keys.length > 0 ? { text, keys } : refuse('has no keys')
  } catch {
    return refuse('is not a JSON Web Key Set') // the error's message could quote a key
  }
}
