// During a take-over the predecessor passes on jobs that it has authenticated, whose keys it does
// not have any more. It says whose they are in a header, and proves that it may: by a secret that
// the successor has made and sent it over the control socket.

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { makePrincipal, OPERATOR, type Principal, type Scope, SCOPES } from './principal.ts'

export const PEER_HEADER = 'x-sluice-peer'
const PROOF_BYTES = 32

/** A new secret. */
export const makeProof = (): string => randomBytes(PROOF_BYTES).toString('base64url')

/** Whose job it is, as the header says it. */
interface Said {
  readonly tenant: number
  readonly user: string | null
  readonly keyId: string
  readonly scopes: readonly Scope[]
}

/** The value of the header. */
export function peerHeader(proof: string, principal: Principal): string {
  const { keyId, scopes, tenant, user } = principal
  const said: Said = { tenant, user, keyId, scopes: [...scopes] }
  return `${proof}.${Buffer.from(JSON.stringify(said)).toString('base64url')}`
}

/**
 * The principal of a header's value; undefined for one without the proof, and for a revoked key.
 * @param ofKey finds the principal of a key by its id.
 */
export function readPeer(
  value: string, proof: string, ofKey: (keyId: string) => Principal | undefined,
): Principal | undefined {
  const given = Buffer.from(value.slice(0, proof.length))
  const wanted = Buffer.from(proof)
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined
  const said = parse(value.slice(proof.length + 1))
  if (said === undefined) return undefined
  const { keyId, scopes, tenant, user } = said
  if (keyId !== '') return ofKey(keyId)
  const isOperator = tenant === 0 && user === null && scopes.length === SCOPES.length
  return isOperator ? OPERATOR : makePrincipal({ tenant, user, scopes: new Set(scopes) })
}

function parse(text: string): Said | undefined {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString()) as Said
  } catch {
    return undefined
  }
}
