// What the claims of a verified token say about who asks.

import { USER_ID_BYTES_MAX } from '../../shards/memory/limits.ts'
import type { ClaimSettings } from '../config/jwt-settings.ts'
import { type Principal, SCOPES, type Scope, TENANT_DEFAULT, TENANTS_MAX } from './principal.ts'

type Claims = Readonly<Record<string, unknown>>
type Read = Pick<Principal, 'tenant' | 'scopes' | 'user'>

/** The principal's parts, or the name of the claim that is missing or wrong. */
export function readClaims(
  claims: Claims, { scopesClaim, tenantClaim, tenants, userClaim }: ClaimSettings,
): Read | { readonly wrongClaim: string } {
  const tenant = tenantClaim === '' ? TENANT_DEFAULT : readTenant(own(claims, tenantClaim), tenants)
  if (tenant === undefined) return { wrongClaim: tenantClaim }
  const user = userClaim === '' ? null : readUser(own(claims, userClaim))
  if (user === undefined) return { wrongClaim: userClaim }
  return { tenant, user, scopes: readScopes(own(claims, scopesClaim)) }
}

/** Never what every object inherits. */
const own = (values: Claims, name: string): unknown =>
  Object.hasOwn(values, name) ? values[name] : undefined

/** A number, as such or as text, or a name that has one. */
function readTenant(claim: unknown, tenants: Claims): number | undefined {
  const named = typeof claim === 'string' ? own(tenants, claim) : undefined
  if (named !== undefined) return named as number
  const number = typeof claim === 'string' && /^\d{1,5}$/.test(claim) ? Number(claim) : claim
  const isTenant = Number.isInteger(number) && Number(number) >= 0 && Number(number) < TENANTS_MAX
  return isTenant ? number as number : undefined
}

function readUser(claim: unknown): string | undefined {
  const isUser = typeof claim === 'string' && claim !== '' && claim.isWellFormed() &&
    Buffer.byteLength(claim) <= USER_ID_BYTES_MAX
  return isUser ? claim : undefined
}

/** Those that Sluice knows, of a text with blanks between them, or of a list. */
function readScopes(claim: unknown): ReadonlySet<Scope> {
  const words: readonly unknown[] = typeof claim === 'string' ? claim.split(' ')
    : Array.isArray(claim) ? claim : []
  return new Set(SCOPES.filter((scope) => words.includes(scope)))
}
