// The keys that a process knows, by id. Looked up for every request; changed rarely, and one change
// after the other. Every change of the file reads it first if somebody else has replaced it, so
// that nobody's keys are lost.

import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, US_PER_MS, msToUs } from '../../shards/base/units.ts'
import { KEYS_MAX } from '../../shards/memory/limits.ts'
import { fail } from '../base/errors.ts'
import { KEY_USES_EVERY_MS } from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import { type RandomSource, hashKey, isKeyOf, keyIdOf, makeKey } from './api-key.ts'
import type { KeyEntry, KeyWish } from './key-entry.ts'
import { type KeyFile, type Keys, markOf, NO_KEYS, readKeyFile, writeKeyFile } from './key-file.ts'
import { isValid, type Principal, makePrincipal } from './principal.ts'

/** What keys need. */
export interface KeyRingParts {
  /** The key file; undefined where none is: then there are no keys, and none can be added. */
  readonly file: string | undefined
  /** Its own, since a clock has one wake-up. */
  readonly clock: Clock
  readonly random: RandomSource
  readonly log: Log
}

/** A key that was added; its text is nowhere else. */
export interface AddedKey {
  readonly entry: KeyEntry
  readonly text: string
}

/** What came of a change; the error is for the operator. */
export type Changed<T> =
  { readonly ok: true, readonly value: T } | { readonly ok: false, readonly error: string }

/** A change that is to be written. */
type Planned<T> = { readonly ok: true, readonly value: T, readonly keys: Keys } |
  { readonly ok: false, readonly error: string }

/** A key in use. */
interface HeldKey {
  readonly entry: KeyEntry
  /** Its validity ends when the key expires, and is 0 once its users know that it is gone. */
  readonly principal: Principal
  lastUsedMs: number | null
}

/** Ids of keys that are gone, in one line of the log. */
const IDS_LOGGED_MAX = 100

const NO_FILE = 'there is no place for keys, since there is no data folder: name a key file with ' +
  '--keys-file'

/** All keys of a process; made by open(). */
export class KeyRing {
  readonly #parts: KeyRingParts
  #held = new Map<string, HeldKey>()
  #nextNumber = NO_KEYS.nextNumber
  /** The version of the file that is held. */
  #mark = ''
  /** A key was used since the file was written. */
  #isUsed = false
  /** When the uses are written; Infinity for no use. */
  #writeUsesUs = Infinity
  /** That the uses cannot be written has been logged. */
  #isUnwritable = false
  #isClosed = false
  /** Resolves when the last change is over. */
  #turn: Promise<unknown> = Promise.resolve()
  #onGone: (gone: readonly Principal[]) => void = () => {}

  private constructor(parts: KeyRingParts) {
    this.#parts = parts
  }

  /** Throws OperatingError with the code `keys_refused` when the file is wrong. */
  static open(parts: KeyRingParts): KeyRing {
    const ring = new KeyRing(parts)
    const error = ring.#readAgain()
    return error === undefined ? ring : fail('keys_refused', error)
  }

  /** Calls back with the principals of keys that were revoked, replaced, or have expired. */
  onGone(listener: (gone: readonly Principal[]) => void): void {
    this.#onGone = listener
  }

  /** The key file; undefined where there is none. */
  get file(): string | undefined {
    return this.#parts.file
  }

  /** Expired keys included, until they are revoked. */
  get size(): number {
    return this.#held.size
  }

  /** Whose key it is; undefined for an unknown, expired or malformed one. */
  find(presented: string, nowMs: number): Principal | undefined {
    const id = keyIdOf(presented)
    if (id === undefined) return undefined
    const held = this.#held.get(id)
    if (!isKeyOf(presented, held?.entry.hash) || held === undefined) return undefined
    if (!isValid(held.principal, nowMs)) return undefined
    held.lastUsedMs = nowMs
    if (!this.#isUsed) this.#noteUse()
    return held.principal
  }

  /** There is no key file yet. */
  get isFileMissing(): boolean {
    return this.#mark === ''
  }

  /** The principal of a key by its id; undefined for an unknown or expired one. */
  ofId(id: string, nowMs: number): Principal | undefined {
    const principal = this.#held.get(id)?.principal
    return principal !== undefined && isValid(principal, nowMs) ? principal : undefined
  }

  /** In the order in which they were added. */
  list(): KeyEntry[] {
    return [...this.#held.values()].map((held) => withUse(held.entry, held))
  }

  /** Adds a key; it is known once the file is written. */
  add(wish: KeyWish): Promise<Changed<AddedKey>> {
    return this.#change(() => {
      const number = this.#freeNumber()
      if (number === undefined) return { ok: false, error: `there may be ${KEYS_MAX} keys` }
      const { id, text } = makeKey(this.#parts.random)
      const entry: KeyEntry = {
        ...wish, id, number, hash: hashKey(text), createdMs: this.#nowMs(), lastUsedMs: null,
      }
      const keys = { entries: [...this.list(), entry], nextNumber: number % KEYS_MAX + 1 }
      return { ok: true, value: { entry, text }, keys }
    })
  }

  /** Removes a key. */
  revoke(id: string): Promise<Changed<KeyEntry>> {
    return this.#change(() => {
      const held = this.#held.get(id)
      if (held === undefined) return { ok: false, error: 'there is no key with this id' }
      const entries = this.list().filter((entry) => entry.id !== id)
      return { ok: true, value: held.entry, keys: { entries, nextNumber: this.#nextNumber } }
    })
  }

  /** Why reload() would fail now; changes nothing. */
  check(): string | undefined {
    const { file } = this.#parts
    const read = file === undefined ? undefined : readKeyFile(file)
    if (read === undefined || file === undefined) return undefined
    if (!read.ok) return read.error
    return this.#isLost(read.file) ? lostText(file) : undefined
  }

  /** Reads the file again; with an error, the keys stay as they are. */
  reload(): Promise<Changed<number>> {
    return this.#inTurn(async () => {
      const error = this.#readAgain()
      this.#wakeLater()
      return error === undefined ? { ok: true, value: this.size } : { ok: false, error }
    })
  }

  /** Writes the last uses, and from then on nothing more. */
  close(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#writeUses()
      this.#isClosed = true
      this.#wakeLater()
    })
  }

  /** Executes changes one after the other. */
  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(act)
    this.#turn = turn.catch(() => { /* the caller has it */ })
    return turn
  }

  /** Makes a change of the present keys, writes it, and only then puts it into effect. */
  #change<T>(make: () => Planned<T>): Promise<Changed<T>> {
    return this.#inTurn(async () => {
      const { file } = this.#parts
      if (file === undefined) return { ok: false, error: NO_FILE }
      if (this.#isClosed) return { ok: false, error: 'the server is stopping' }
      const outdated = this.#isReplaced(file) ? this.#readAgain() : undefined
      if (outdated !== undefined) return { ok: false, error: outdated }
      const made = make()
      if (!made.ok) return made
      const written = await writeKeyFile(file, made.keys)
      if ('error' in written) return { ok: false, error: written.error }
      this.#hold(made.keys, written.mark)
      return { ok: true, value: made.value }
    })
  }

  /** A file that is gone, or not mounted yet, must not open the server. */
  #isLost({ mark }: KeyFile): boolean {
    return mark === '' && this.size > 0
  }

  #isReplaced(file: string): boolean {
    try {
      return markOf(file) !== this.#mark
    } catch {
      return true // reading it will tell why
    }
  }

  /** Returns why the file cannot be used. */
  #readAgain(): string | undefined {
    const { file, log } = this.#parts
    if (file === undefined) return undefined
    const read = readKeyFile(file)
    if (!read.ok) return read.error
    if (this.#isLost(read.file)) return lostText(file)
    warnIfOpen(file, read.file, log)
    const before = this.#held
    this.#hold(read.file.keys, read.file.mark)
    if (before.size + this.size === 0) return undefined
    const added = [...this.#held.keys()].filter((id) => !before.has(id)).length
    const gone = [...before.keys()].filter((id) => !this.#held.has(id))
    log.info({ file, keys: this.size, added, gone: gone.slice(0, IDS_LOGGED_MAX) },
      'read the key file')
    return undefined
  }

  /** Puts keys into effect: a principal stays the same as long as its key is unchanged. */
  #hold({ entries, nextNumber }: Keys, mark: string): void {
    const before = this.#held
    this.#held = new Map(entries.map((entry) => [entry.id, heldKey(entry, before.get(entry.id))]))
    this.#nextNumber = nextNumber
    this.#mark = mark
    const kept = new Set([...this.#held.values()].map(({ principal }) => principal))
    this.#tellGone([...before.values()].filter(({ principal }) => !kept.has(principal)))
    this.#wakeLater()
  }

  #tellGone(gone: readonly HeldKey[]): void {
    for (const { principal } of gone) principal.validity.untilMs = 0
    if (gone.length > 0) this.#onGone(gone.map(({ principal }) => principal))
  }

  /** The next one that no key has, so that a number rests as long as possible. */
  #freeNumber(): number | undefined {
    if (this.#held.size >= KEYS_MAX) return undefined
    const taken = new Set([...this.#held.values()].map(({ entry }) => entry.number))
    let number = this.#nextNumber
    while (taken.has(number)) number = number % KEYS_MAX + 1
    return number
  }

  #noteUse(): void {
    this.#isUsed = true
    this.#writeUsesUs = this.#parts.clock.nowUs() + msToUs(KEY_USES_EVERY_MS)
    this.#wakeLater()
  }

  /** Sets the wake-up: for writing uses, and for the next key that expires. */
  #wakeLater(): void {
    const { clock } = this.#parts
    if (this.#isClosed) return clock.wakeAt(Infinity as Micros, this.#wake)
    let expiresMs = Infinity
    for (const { principal: { validity: { untilMs } } } of this.#held.values()) {
      if (untilMs > 0) expiresMs = Math.min(expiresMs, untilMs)
    }
    const expiresUs = clock.nowUs() + (expiresMs - this.#nowMs()) * US_PER_MS
    clock.wakeAt(Math.min(expiresUs, this.#writeUsesUs) as Micros, this.#wake)
  }

  readonly #wake = (): void => {
    const nowMs = this.#nowMs()
    this.#tellGone([...this.#held.values()].filter(({ principal }) =>
      principal.validity.untilMs > 0 && !isValid(principal, nowMs)))
    if (this.#parts.clock.nowUs() >= this.#writeUsesUs) {
      this.#writeUsesUs = Infinity
      void this.#inTurn(() => this.#writeUses())
    }
    this.#wakeLater()
  }

  /** What somebody else has changed in the file stays in it, and takes effect with a reload. */
  async #writeUses(): Promise<void> {
    const { file, log } = this.#parts
    if (file === undefined || !this.#isUsed || this.#isClosed) return
    this.#isUsed = false
    const isReplaced = this.#isReplaced(file)
    const read = isReplaced ? readKeyFile(file) : undefined
    if (read?.ok === false || read?.file.mark === '') return
    const { entries, nextNumber } = read?.file.keys ?? this.#keys()
    const noted = entries.map((entry) => withUse(entry, this.#held.get(entry.id)))
    const written = await writeKeyFile(file, { entries: noted, nextNumber })
    if ('mark' in written) {
      if (!isReplaced) this.#hold({ entries: noted, nextNumber }, written.mark)
    } else if (!this.#isUnwritable) {
      this.#isUnwritable = true
      log.info({ reason: written.error }, 'when keys were last used is not kept')
    }
  }

  #keys(): Keys {
    return { entries: this.list(), nextNumber: this.#nextNumber }
  }

  #nowMs(): number {
    const { clock } = this.#parts
    return clock.wallMs(clock.nowUs())
  }
}

function heldKey(entry: KeyEntry, old: HeldKey | undefined): HeldKey {
  const isSame = old !== undefined && isSameKey(old.entry, entry)
  const principal = isSame ? old.principal : principalOf(entry)
  if (!isSame || old.entry.expiresMs !== entry.expiresMs) {
    principal.validity.untilMs = entry.expiresMs ?? Infinity
  }
  return {
    entry, principal, lastUsedMs: latest(entry.lastUsedMs, isSame ? old.lastUsedMs : null),
  }
}

const principalOf = ({ id, limits, name, number, scopes, tenant, users }: KeyEntry): Principal =>
  makePrincipal({
    tenant, scopes: new Set(scopes), user: users === 'one' ? name : null, key: number, keyId: id,
    limits,
  })

/** Whether nothing has changed of what a principal consists of. */
const isSameKey = (left: KeyEntry, right: KeyEntry): boolean =>
  left === right || isDeepStrictEqual(lasting(left), lasting(right))

const lasting = (entry: KeyEntry): object => ({ ...entry, lastUsedMs: null, expiresMs: null })

/** The entry with its last use, wherever that is known from. */
function withUse(entry: KeyEntry, held: HeldKey | undefined): KeyEntry {
  const lastUsedMs = latest(entry.lastUsedMs, held?.lastUsedMs ?? null)
  return lastUsedMs === entry.lastUsedMs ? entry : { ...entry, lastUsedMs }
}

const latest = (left: number | null, right: number | null): number | null =>
  left === null || right === null ? left ?? right : Math.max(left, right)

const lostText = (file: string): string => `${file} is gone, and with it ` +
  'all keys: put it back, or restart the server if it is to have none'

function warnIfOpen(file: string, { isOpenToOthers }: KeyFile, log: Log): void {
  if (!isOpenToOthers) return
  log.warn({ file }, 'others than the owner may read the key file; chmod 600 it, or mount it so')
}
