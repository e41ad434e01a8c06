// Verifies JSON Web Tokens. A token that was verified is known until it expires, so that a request
// costs one hash and one look-up; unknown ones are verified few at a time.

import { hash } from 'node:crypto'
import { type JWTPayload, errors, jwtVerify } from 'jose'
import type { Clock } from '../../shards/base/clock.ts'
import {
  JWT_BYTES_MAX, JWT_CHECKS_MAX, JWT_REFUSED_LOG_EVERY_MS, JWT_REFUSED_MS, JWTS_CACHED_MAX,
  JWTS_REFUSED_MAX, JWTS_WAITING_MAX,
} from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { JwtSettings } from '../config/jwt-settings.ts'
import { type FetchText, Jwks } from './jwks.ts'
import { readClaims } from './jwt-claims.ts'
import { type Principal, makePrincipal } from './principal.ts'
import { RecentlyUsed } from './recently-used.ts'

/** What verifying needs. */
export interface JwtParts {
  /** Undefined: no token is accepted. */
  readonly settings: JwtSettings | undefined
  readonly fetch: FetchText
  /** Its own, since a clock has one wake-up. */
  readonly clock: Clock
  readonly log: Log
}

/** What came of a check; undefined: refused; busy: ask again. */
export type JwtCheck = Principal | 'busy' | undefined

/** Signatures that only the issuer can make; not those that whoever verifies them could make. */
const ALGORITHMS = [
  'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA',
  'Ed25519',
]
const NO_KEY = 'no key'

/** Whose token it is, and until when. */
interface Known {
  readonly principal: Principal
  readonly untilMs: number
}

/** Verifies tokens. */
export class Jwt {
  readonly #fetch: FetchText
  readonly #clock: Clock
  readonly #log: Log
  #settings: JwtSettings | undefined
  #jwks: Jwks | undefined
  /** By the hash of the token. */
  readonly #known = new RecentlyUsed<Known>(JWTS_CACHED_MAX)
  /** Until when each is refused. */
  readonly #refused = new RecentlyUsed<number>(JWTS_REFUSED_MAX)
  readonly #pending = new Map<string, Promise<JwtCheck>>()
  /** Incremented when settings or keys change: what was verified before does not count. */
  #generation = 0
  #checks = 0
  #waiting = 0
  #loggedMs = -Infinity

  /** Call problem() before. */
  constructor({ clock, fetch, log, settings }: JwtParts) {
    this.#clock = clock
    this.#fetch = fetch
    this.#log = log
    this.configure(settings)
  }

  /** Why these settings cannot take effect. */
  static problem(settings: JwtSettings | undefined): string | undefined {
    return settings === undefined ? undefined : Jwks.problem(settings.jwks)
  }

  /** Whether any token can be accepted. */
  get isOn(): boolean {
    return this.#settings !== undefined
  }

  /** Puts settings into effect, and reads the keys anew. Call problem() before. */
  configure(settings: JwtSettings | undefined): void {
    this.#settings = settings
    this.#forget()
    if (settings !== undefined && this.#jwks?.keep(settings.jwks) === true) return
    this.close()
    this.#jwks = undefined
    if (settings === undefined) return
    this.#jwks = Jwks.start({
      place: settings.jwks, fetch: this.#fetch, clock: this.#clock, log: this.#log,
      onChange: () => this.#forget(),
    })
  }

  /** Fetches no more; tokens are verified with the keys that are known. */
  close(): void {
    this.#jwks?.close()
  }

  /** Whose token it is; undefined for one that is refused; unknown: call check(). */
  verify(token: string, nowMs: number): Principal | 'unknown' | undefined {
    if (this.#settings === undefined || token.length > JWT_BYTES_MAX) return undefined
    return this.#look(hashOf(token), nowMs)
  }

  /** Verifies a token; afterwards verify() knows it. Never rejects. */
  async check(token: string): Promise<JwtCheck> {
    if (this.#settings === undefined || token.length > JWT_BYTES_MAX) return undefined
    const id = hashOf(token)
    const known = this.#look(id, this.#nowMs())
    if (known !== 'unknown') return known
    const pending = this.#pending.get(id)
    if (pending !== undefined) return pending
    const checking = this.#check(token, id)
    this.#pending.set(id, checking)
    const result = await checking
    this.#pending.delete(id)
    return result
  }

  #look(id: string, nowMs: number): Principal | 'unknown' | undefined {
    const known = this.#known.get(id)
    if (known !== undefined && nowMs < known.untilMs) return known.principal
    const untilMs = this.#refused.get(id)
    return untilMs !== undefined && nowMs < untilMs ? undefined : 'unknown'
  }

  async #check(token: string, id: string): Promise<JwtCheck> {
    const first = await this.#verify(token, id)
    if (first !== NO_KEY) return first
    // The issuer may have a new key.
    const refreshing = this.#jwks?.refresh()
    if (refreshing === undefined) return this.#noKey(id)
    if (this.#waiting >= JWTS_WAITING_MAX) return 'busy'
    this.#waiting++
    await refreshing
    this.#waiting--
    const second = await this.#verify(token, id)
    return second === NO_KEY ? this.#noKey(id) : second
  }

  /** Without any keys, nothing is known about a token. */
  #noKey(id: string): JwtCheck {
    return this.#jwks?.keys === undefined ? 'busy' : this.#refuse(id, 'no key of the set is its')
  }

  async #verify(token: string, id: string): Promise<JwtCheck | typeof NO_KEY> {
    const settings = this.#settings
    const keys = this.#jwks?.keys
    if (settings === undefined || keys === undefined) return NO_KEY
    if (this.#checks >= JWT_CHECKS_MAX) return 'busy'
    const generation = this.#generation
    this.#checks++
    const claims = await jwtVerify(token, keys, {
      algorithms: ALGORITHMS, issuer: settings.issuer, audience: settings.audience,
      requiredClaims: ['exp'], clockTolerance: settings.clockSkewMs / 1000,
      currentDate: new Date(this.#nowMs()),
    }).then(({ payload }) => payload, (error: unknown) => error as Error)
    this.#checks--
    if (generation !== this.#generation) return 'busy'
    if (claims instanceof errors.JWKSNoMatchingKey) return NO_KEY
    return claims instanceof Error ? this.#refuse(id, reasonOf(claims))
      : this.#accept(claims, id, settings)
  }

  #accept(claims: JWTPayload, id: string, settings: JwtSettings): Principal | undefined {
    const parts = readClaims(claims, settings)
    if ('wrongClaim' in parts) return this.#refuse(id, `wrong claim ${parts.wrongClaim}`)
    const untilMs = (claims.exp as number) * 1000 + settings.clockSkewMs
    const principal = makePrincipal({ ...parts, validity: { untilMs } })
    this.#known.set(id, { principal, untilMs })
    return principal
  }

  #refuse(id: string, reason: string): undefined {
    const nowMs = this.#nowMs()
    this.#refused.set(id, nowMs + JWT_REFUSED_MS)
    if (nowMs - this.#loggedMs < JWT_REFUSED_LOG_EVERY_MS) return
    this.#loggedMs = nowMs
    this.#log.info({ reason }, 'refused a JSON Web Token; others may have been refused since the ' +
      'last such line')
  }

  #forget(): void {
    this.#generation++
    this.#known.clear()
    this.#refused.clear()
  }

  #nowMs(): number {
    return this.#clock.wallMs(this.#clock.nowUs())
  }
}

const hashOf = (token: string): string => hash('sha256', token, 'base64')

/** The code of jose's error, and the claim that it is about; never what the token says. */
function reasonOf(error: Error): string {
  if (error instanceof errors.JWTClaimValidationFailed) return `wrong claim ${error.claim}`
  return error instanceof errors.JOSEError ? error.code : 'it cannot be read'
}
