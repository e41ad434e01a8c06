// What the settings say about JSON Web Tokens.

import path from 'node:path'
import type { EgressSettings, ShardSettings } from '../../shards/wire/contract.ts'
import type { Problem } from '../base/problem.ts'
import { isUrl } from './kinds.ts'
import { type Config, SETTINGS } from './settings.ts'

/** A URL, and the rules for fetching from it. */
export interface JwksUrl {
  readonly url: string
  /** Undefined: every address is allowed but those that never are. */
  readonly egress: EgressSettings | undefined
  /** PEM; empty for none besides the built-in ones. */
  readonly extraCaPem: string
}

/** Where a key set is. */
export type JwksPlace = { readonly file: string } | JwksUrl

/** Which claim says what. */
export interface ClaimSettings {
  /** Empty: every token is of tenant 0. */
  readonly tenantClaim: string
  readonly scopesClaim: string
  /** Empty: the holder names the users of its jobs. */
  readonly userClaim: string
  /** Numbers of tenants by name. */
  readonly tenants: Readonly<Record<string, number>>
}

/** What tokens have to be. */
export interface JwtSettings extends ClaimSettings {
  /** Where the keys of the issuer are. */
  readonly jwks: JwksPlace
  readonly issuer: string
  readonly audience: string
  readonly clockSkewMs: number
}

/** Undefined where no token is accepted. @param cwd base of relative paths. */
export function jwtSettings(
  config: Config, rules: Pick<ShardSettings, 'egress' | 'extraCaPem'>, cwd: string,
): JwtSettings | undefined {
  const { jwtJwks: jwks } = config
  if (jwks === '') return undefined
  return {
    jwks: isUrl(jwks) ? urlOf(jwks, rules) : { file: path.resolve(cwd, jwks) },
    issuer: config.jwtIssuer, audience: config.jwtAudience, clockSkewMs: config.jwtClockSkewMs,
    tenantClaim: config.jwtTenantClaim, scopesClaim: config.jwtScopesClaim,
    userClaim: config.jwtUserClaim, tenants: config.jwtTenants,
  }
}

/** A token for somebody else, or of somebody else, must not be accepted by an oversight. */
export function jwtProblems(
  { jwtAudience, jwtIssuer, jwtJwks }: Config, origins: Readonly<Record<string, string>>,
): Problem[] {
  if (jwtJwks === '') return []
  const missing = [
    ...jwtIssuer === '' ? [SETTINGS.jwtIssuer] : [],
    ...jwtAudience === '' ? [SETTINGS.jwtAudience] : [],
  ]
  return missing.map(({ key, kind }) => ({
    key, source: origins['jwtJwks'] ?? '', given: 'none',
    expected: `${kind.expected}, since ${SETTINGS.jwtJwks.key} is set`,
  }))
}

/** The host is named by the configuration, so it is allowed unless it is denied. */
function urlOf(
  text: string, { egress, extraCaPem }: Pick<ShardSettings, 'egress' | 'extraCaPem'>,
): JwksUrl {
  const host = new URL(text).hostname.replace(/\.$/, '')
  return { url: text, extraCaPem, egress: egress && { ...egress, named: [host] } }
}
