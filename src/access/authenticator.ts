// Authentication: who asks, by what the request presents. One call for every way in: requests,
// WebSocket upgrades and batches. What the principal may do then is the route's rule.
//
// A listener is keyed as soon as there is a key, or tokens are configured. Without them it is open
// where only this machine can reach it, or where the operator says so; else it is locked.

import type { Denial } from '../base/errors.ts'
import { containsKey } from './api-key.ts'
import { readCredential } from './credentials.ts'
import { isSameOrigin, LocalHosts } from './local-hosts.ts'
import { readPeer } from './peer-proof.ts'
import type { Presented } from './presented.ts'
import { lacking, mayDo, OPERATOR, type Principal, type Scope, STRANGER } from './principal.ts'

/** Finds the principal of an API key. */
export interface KeyFinder {
  /** Number of keys, expired ones included. */
  readonly size: number
  /** @param nowMs Unix ms. Undefined: there is no such key, or it has expired. */
  find(text: string, nowMs: number): Principal | undefined
  /** The same by the public part of a key. */
  ofId(id: string, nowMs: number): Principal | undefined
}

/** Verifies tokens. */
export interface TokenVerifier {
  /** Whether any token can be accepted. */
  readonly isOn: boolean
  /** Whose token it is; undefined for one that is refused; unknown: it must be checked first. */
  verify(token: string, nowMs: number): Principal | 'unknown' | undefined
}

/** What authentication depends on. */
export interface AuthenticatorParts {
  readonly keys: KeyFinder
  readonly tokens: TokenVerifier
  /** Nobody needs a key. */
  readonly isOpenToAll: boolean
  /** Host names, besides this machine's own, that requests to an unlocked server may be for. */
  readonly allowedHosts: readonly string[]
  /** What a peer proves itself by; null for none. */
  readonly peerProof: () => string | null
  /** Unix ms. */
  readonly wallMs: () => number
}

/** What a request has to be allowed to do; open: nothing; known: anything at all. */
export type RouteScope = Scope | 'open' | 'known'

/** What a request is for. */
export interface Asked {
  readonly scope: RouteScope
  /** It changes something: a page of another origin may not cause it. */
  readonly isWrite: boolean
}

/** A token that has to be checked before the request can be judged. */
export interface Unchecked {
  readonly token: string
}

/** Authenticates requests. */
export class Authenticator {
  readonly #parts: AuthenticatorParts
  readonly #hosts: LocalHosts

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts
    this.#hosts = new LocalHosts(parts.allowedHosts)
  }

  /** A listener on `isLocal` loopback, or else not: whether nothing but its state is answered. */
  isLocked(isLocal: boolean): boolean {
    return !this.isKeyed && !this.#isOpen(isLocal)
  }

  /** Who asks, or why it is refused. @param isLocal the listener is bound to loopback only. */
  judge(presented: Presented, isLocal: boolean, asked: Asked): Principal | Denial | Unchecked {
    let found = this.#find(presented, isLocal)
    // What is for everybody is for those whose key is wrong, too.
    if ('code' in found && asked.scope === 'open') found = STRANGER
    if (!('caller' in found)) return found
    if (found === OPERATOR && !this.#parts.isOpenToAll) {
      if (!this.#hosts.allows(presented.host)) return FOREIGN_HOST
      if (asked.isWrite && !isSameOrigin(presented.origin, presented.host)) return FOREIGN_ORIGIN
    }
    const { scope } = asked
    if (scope === 'open') return found
    if (found === STRANGER) return this.#whatIsMissing
    return scope === 'known' || mayDo(found, scope) ? found : lacking(scope)
  }

  /** Whether a key or a token is required. */
  get isKeyed(): boolean {
    return this.#parts.keys.size > 0 || this.#parts.tokens.isOn
  }

  get #whatIsMissing(): Denial {
    if (!this.isKeyed) return LOCKED
    return this.#parts.tokens.isOn ? NO_KEY_OR_TOKEN : NO_KEY
  }

  #isOpen(isLocal: boolean): boolean {
    return this.#parts.isOpenToAll || (isLocal && !this.isKeyed)
  }

  #find(presented: Presented, isLocal: boolean): Principal | Denial | Unchecked {
    if (presented.peer !== '') return this.#ofPeer(presented.peer)
    if (presented.isAmbiguous) return CONFLICTING
    const { apiKey, authorization, sluiceKey } = presented
    const credential = readCredential(sluiceKey, authorization, apiKey)
    switch (credential.kind) {
      case 'key': return this.#parts.keys.find(credential.text, this.#parts.wallMs()) ?? WRONG_KEY
      case 'jwt': return this.#ofToken(credential.text, isLocal)
      case 'conflicting': return CONFLICTING
      default: break
    }
    // Who means to present a key of Sluice is never taken for somebody without one.
    const isMeant = credential.kind === 'malformed' &&
      (sluiceKey !== '' || containsKey(`${authorization} ${apiKey}`))
    if (isMeant) return WRONG_KEY
    return this.#isOpen(isLocal) ? OPERATOR : STRANGER
  }

  #ofPeer(said: string): Principal | Denial {
    const { keys, peerProof, wallMs } = this.#parts
    const proof = peerProof()
    const found = proof === null ? undefined
      : readPeer(said, proof, (id) => keys.ofId(id, wallMs()))
    return found ?? WRONG_KEY
  }

  #ofToken(text: string, isLocal: boolean): Principal | Denial | Unchecked {
    const { tokens, wallMs } = this.#parts
    // Where no tokens are expected, it is somebody else's, and means nothing here.
    if (!tokens.isOn) return this.#isOpen(isLocal) ? OPERATOR : STRANGER
    const known = tokens.verify(text, wallMs())
    return known === 'unknown' ? { token: text } : known ?? WRONG_TOKEN
  }
}

const HOW_TO_ADD = '\'sluice keys add --name NAME\' on the server\'s machine makes one'
const HOW_TO_SEND = 'send it as \'X-Sluice-Key: slk_…\' or \'Authorization: Bearer slk_…\''

const LOCKED: Denial = {
  code: 'locked',
  error: `the server has no keys yet, and answers nothing but its state: ${HOW_TO_ADD}; ${
    HOW_TO_SEND}`,
}
const NO_KEY: Denial = {
  code: 'key_required', error: `a key is required: ${HOW_TO_SEND}; ${HOW_TO_ADD}`,
}
const NO_KEY_OR_TOKEN: Denial = {
  code: 'key_required',
  error: `a key or a token is required: ${HOW_TO_SEND}, or a token of the issuer that the server ` +
    'knows as \'Authorization: Bearer …\'',
}
const WRONG_KEY: Denial = {
  code: 'invalid_key', error: 'the key is unknown, revoked or expired',
}
const WRONG_TOKEN: Denial = {
  code: 'invalid_key', error: 'the token is expired, or not one that this server accepts',
}
const CONFLICTING: Denial = {
  code: 'invalid_key',
  error: 'the request has different keys in X-Sluice-Key, Authorization and X-Api-Key',
}
const FOREIGN_HOST: Denial = {
  code: 'foreign_host',
  error: 'without keys, only requests for this machine itself are answered: use localhost, add ' +
    'the name with --allowed-hosts, or make a key with \'sluice keys add\'',
}
const FOREIGN_ORIGIN: Denial = {
  code: 'forbidden_origin', error: 'a page of another origin may not do this',
}
