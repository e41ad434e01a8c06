// Who asks: what a request may do, and for whom. Every request has exactly one principal, whichever
// way it came in; authentication makes it, and everything behind asks it alone.

import type { Denial } from '../base/errors.ts'

/**
 * What a principal may do. submit: submit jobs; read: read, cancel and follow the jobs of its
 * tenant; operate: what operators see and change, of all tenants; admin: everything.
 */
export const SCOPES = ['submit', 'read', 'operate', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** Tenants are 0 to TENANTS_MAX - 1; a job's slot has 16 bits for its tenant. */
export const TENANTS_MAX = 65_536
/** The tenant of everything without a key, and of all jobs from before there were tenants. */
export const TENANT_DEFAULT = 0

/** Bounds of one key; Infinity for none. */
export interface KeyLimits {
  /** Jobs that are accepted and not finished. */
  readonly jobsQueued: number
  readonly submissionsPerSecond: number
  readonly streams: number
  readonly sockets: number
}

export const NO_LIMITS: KeyLimits = {
  jobsQueued: Infinity, submissionsPerSecond: Infinity, streams: Infinity, sockets: Infinity,
}

/** Who asks. */
export interface Principal {
  /** 0 to TENANTS_MAX - 1. Jobs of another tenant are, for it, not there. */
  readonly tenant: number
  readonly scopes: ReadonlySet<Scope>
  /** The only user that it submits jobs for; null: each job names its user. */
  readonly user: string | null
  /** The key's number in the slots of its jobs, 1 to KEYS_MAX; 0 without a key. */
  readonly key: number
  /** The public part of the key, for log lines; '' without a key. */
  readonly keyId: string
  readonly limits: KeyLimits
  /** Until when it may ask, in Unix ms; 0 once it is revoked. The one part that changes. */
  readonly validity: { untilMs: number }
  /** Differs between any two principals of this process. */
  readonly caller: number
}

let callers = 0

/** Makes a principal; the given parts replace those of somebody who may do nothing. */
export const makePrincipal = (parts: Partial<Omit<Principal, 'caller'>>): Principal => ({
  tenant: TENANT_DEFAULT, scopes: new Set(), user: null, key: 0, keyId: '', limits: NO_LIMITS,
  validity: { untilMs: Infinity }, ...parts, caller: ++callers,
})

/** Whether a principal that was found before may still ask. */
export const isValid = ({ validity }: Principal, nowMs: number): boolean =>
  nowMs < validity.untilMs

/** Denied in the middle of what it does: its key was revoked, or has expired. */
export const NOT_VALID: Denial = {
  code: 'invalid_key', error: 'the key has been revoked or has expired meanwhile',
}

/** Who may do nothing: asks without a key where one is needed. */
export const STRANGER: Principal = makePrincipal({})

/** Everything, for tenant 0: who asks where nobody needs a key. */
export const OPERATOR: Principal = makePrincipal({ scopes: new Set(SCOPES) })

/** The denial of who may not do that. */
export const lacking = (scope: Scope): Denial => ({
  code: 'insufficient_scope', error: `the key does not have the scope ${scope}`, more: { scope },
})

/** Whether the principal may do what the scope stands for. */
export const mayDo = ({ scopes }: Principal, scope: Scope): boolean =>
  scopes.has(scope) || scopes.has('admin')
