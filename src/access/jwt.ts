// Verifies JSON Web Tokens. A token that was verified is known until it expires, so that a request
// costs one hash and one look-up; unknown ones are verified few at a time, clients in turn.

import { hash } from 'node:crypto'
import { type JWTPayload, errors, jwtVerify } from 'jose'
import type { Clock } from '../../shards/base/clock.ts'
import {
  JWT_BYTES_MAX, JWT_REFUSED_LOG_EVERY_MS, JWT_REFUSED_MS, JWTS_CACHED_MAX, JWTS_REFUSED_MAX,
} from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { JwtSettings } from '../config/jwt-settings.ts'
import { type FetchText, Jwks } from './jwks.ts'
import { readClaims } from './jwt-claims.ts'
import { type Principal, makePrincipal } from './principal.ts'
import { RecentlyUsed } from './recently-used.ts'
import { TokenChecks } from './token-checks.ts'

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
  readonly #checks = new TokenChecks()
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

  /**
   * Verifies a token; afterwards verify() knows it. Never rejects.
   * @param client stands for the address of whoever presents it.
   */
  async check(token: string, client: number): Promise<JwtCheck> {
    if (this.#settings === undefined || token.length > JWT_BYTES_MAX) return undefined
    const id = hashOf(token)
    const known = this.#look(id, this.#nowMs())
    if (known !== 'unknown') return known
    const pending = this.#pending.get(id)
    if (pending !== undefined) return pending
    if (!this.#checks.enter(client)) return 'busy'
    const checking = this.#check(token, id, client)
    this.#pending.set(id, checking)
    const result = await checking
    this.#pending.delete(id)
    this.#checks.leave(client)
    return result
  }

  #look(id: string, nowMs: number): Principal | 'unknown' | undefined {
    const known = this.#known.get(id)
    if (known !== undefined && nowMs < known.untilMs) return known.principal
    const untilMs = this.#refused.get(id)
    return untilMs !== undefined && nowMs < untilMs ? undefined : 'unknown'
  }

  async #check(token: string, id: string, client: number): Promise<JwtCheck> {
    const verify = (): Promise<JwtCheck | typeof NO_KEY> =>
      this.#checks.inTurn(client, () => this.#verify(token, id))
    const generation = this.#generation
    const first = await verify()
    if (first !== NO_KEY) return first
    // The issuer may have a new key; or it came while the token waited.
    if (generation === this.#generation) {
      const refreshing = this.#jwks?.refresh()
      if (refreshing === undefined) return this.#noKey(id)
      await refreshing
    }
    const second = await verify()
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
    const generation = this.#generation
    const nowMs = this.#nowMs()
    const claims = await jwtVerify(token, keys, {
      algorithms: ALGORITHMS, issuer: settings.issuer, audience: settings.audience,
      requiredClaims: ['exp'], clockTolerance: settings.clockSkewMs / 1000,
      currentDate: new Date(nowMs),
    }).then(({ payload }) => payload, (error: unknown) => error as Error)
    if (generation !== this.#generation) return 'busy'
    if (claims instanceof errors.JWKSNoMatchingKey) return NO_KEY
    return claims instanceof Error ? this.#refuse(id, reasonOf(claims))
      : this.#accept(claims, id, settings, nowMs)
  }

  #accept(
    claims: JWTPayload, id: string, settings: JwtSettings, nowMs: number,
  ): Principal | undefined {
    const parts = readClaims(claims, settings)
    if ('wrongClaim' in parts) return this.#refuse(id, `wrong claim ${parts.wrongClaim}`)
    const untilMs = endOf(claims.exp as number, settings.clockSkewMs, nowMs)
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

/**
 * When a token is over that was accepted at nowMs: not before jose refuses it, which compares whole
 * seconds of the time with `exp`; else it would be unknown and accepted again and again.
 */
const endOf = (expS: number, skewMs: number, nowMs: number): number =>
  Math.max(Math.ceil(expS + skewMs / 1000), Math.floor(nowMs / 1000) + 1) * 1000

const hashOf = (token: string): string => hash('sha256', token, 'base64')

/** The code of jose's error, and the claim that it is about; never what the token says. */
function reasonOf(error: Error): string {
  if (error instanceof errors.JWTClaimValidationFailed) return `wrong claim ${error.claim}`
  return error instanceof errors.JOSEError ? error.code : 'it cannot be read'
}
