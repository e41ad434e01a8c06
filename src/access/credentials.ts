// What a request presents: a key or a token, in one of three headers. Nothing is verified here.

import { JWT_BYTES_MAX } from '../base/limits.ts'
import { keyIdOf, looksLikeKey } from './api-key.ts'

/** A key or a token, or why there is none to verify. */
export type Credential =
  | { readonly kind: 'key' | 'jwt', readonly text: string }
  /** Nothing that is meant for Sluice. */
  | { readonly kind: 'none' }
  /** Something that is meant for Sluice, and is neither a key nor a token. */
  | { readonly kind: 'malformed' }
  /** Several that differ. */
  | { readonly kind: 'conflicting' }

const NONE: Credential = { kind: 'none' }
const MALFORMED: Credential = { kind: 'malformed' }
/** A bearer token of another kind, perhaps a proxy's: it counts only where nothing else is. */
const FOREIGN: Credential = { kind: 'malformed' }
const CONFLICTING: Credential = { kind: 'conflicting' }

const BEARER = /^bearer +/i
/** Three parts, none of them empty: a token without a signature is none. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/

/**
 * The credential in the values of the headers X-Sluice-Key, Authorization and X-Api-Key; '' for a
 * header that is absent. X-Sluice-Key is Sluice's alone. The other two may be meant for a proxy
 * before it: there, only what has the form of a key or a token counts.
 */
export function readCredential(
  sluiceKey: string, authorization: string, apiKey: string,
): Credential {
  if (sluiceKey === '' && authorization === '' && apiKey === '') return NONE
  const own = sluiceKey === '' ? NONE : keyIn(sluiceKey)
  const bearer = readBearer(authorization)
  const other = looksLikeKey(apiKey) ? keyIn(apiKey) : NONE
  if (own === MALFORMED || bearer === MALFORMED || other === MALFORMED) return MALFORMED
  if (differ(own, bearer) || differ(own, other) || differ(bearer, other)) return CONFLICTING
  if (own !== NONE) return own
  return other === NONE ? bearer : other
}

const keyIn = (text: string): Credential =>
  keyIdOf(text) === undefined ? MALFORMED : { kind: 'key', text }

function readBearer(authorization: string): Credential {
  const scheme = BEARER.exec(authorization)
  if (scheme === null) return NONE
  const text = authorization.slice(scheme[0].length)
  if (looksLikeKey(text)) return keyIn(text)
  return text.length <= JWT_BYTES_MAX && JWT.test(text) ? { kind: 'jwt', text } : FOREIGN
}

const differ = (left: Credential, right: Credential): boolean =>
  'text' in left && 'text' in right && left.text !== right.text
