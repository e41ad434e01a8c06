// One key as it is kept: everything but its text. The field names of the key file, and the checks
// of each, which hold for a new key too.

import { KEYS_MAX } from '../../shards/memory/limits.ts'
import {
  KEY_JOBS_QUEUED_MAX, KEY_NAME_BYTES_MAX, KEY_SUBMISSIONS_PER_SECOND_MAX, SOCKETS_MAX, STREAMS_MAX,
} from '../base/limits.ts'
import { isKeyId } from './api-key.ts'
import { type KeyLimits, NO_LIMITS, SCOPES, type Scope, TENANTS_MAX } from './principal.ts'

/** What whoever adds a key decides. */
export interface KeyWish {
  /** Also the user of its jobs, unless it is for many users. */
  readonly name: string
  readonly tenant: number
  readonly scopes: readonly Scope[]
  /** one: all its jobs are of the user named like the key; many: each job names its user. */
  readonly users: 'one' | 'many'
  readonly limits: KeyLimits
  /** Unix milliseconds; null for never. */
  readonly expiresMs: number | null
}

/** A key as it is kept. */
export interface KeyEntry extends KeyWish {
  readonly id: string
  /** 1 to KEYS_MAX, for the slots of its jobs. */
  readonly number: number
  /** The SHA-256 of the whole text of the key. */
  readonly hash: Buffer
  readonly createdMs: number
  /** Null for never. */
  readonly lastUsedMs: number | null
}

/** A field with a value that it cannot have. */
export interface FieldProblem {
  readonly field: string
  readonly expected: string
}

type Fields = Readonly<Record<string, unknown>>

/** Letters, digits, marks and blanks between them; no control characters, no half characters. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S}]+(?: +[\p{L}\p{M}\p{N}\p{P}\p{S}]+)*$/u
const SHA256 = /^[0-9a-f]{64}$/
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/

const LIMITS = [
  ['jobsQueued', 'jobs_queued', KEY_JOBS_QUEUED_MAX],
  ['submissionsPerSecond', 'submissions_per_second', KEY_SUBMISSIONS_PER_SECOND_MAX],
  ['streams', 'streams', STREAMS_MAX],
  ['sockets', 'sockets', SOCKETS_MAX],
] as const satisfies ReadonlyArray<readonly [keyof KeyLimits, string, number]>

/** A field's name as a message shows it: by mistake, a secret may be where a name belongs. */
export const shownField = (name: string): string =>
  /^[a-z_]{1,32}$/.test(name) ? name : 'a field with another name'

const isWhole = (value: unknown, min: number, max: number): boolean =>
  Number.isInteger(value) && (value as number) >= min && (value as number) <= max

const isTime = (value: unknown): boolean =>
  typeof value === 'string' && ISO.test(value) && !Number.isNaN(Date.parse(value))

const isScopes = (value: unknown): boolean => Array.isArray(value) && value.length > 0 &&
  value.length <= SCOPES.length && new Set(value).size === value.length &&
  value.every((each) => (SCOPES as readonly unknown[]).includes(each))

type Check = readonly [
  field: string, isRight: (value: unknown) => boolean, expected: string,
]

const TIME = 'a time such as 2027-01-31T12:00:00Z'

const WISH_CHECKS: readonly Check[] = [
  ['name', (value) => typeof value === 'string' && PRINTABLE.test(value) &&
    Buffer.byteLength(value) <= KEY_NAME_BYTES_MAX,
  `1 to ${KEY_NAME_BYTES_MAX} bytes of printable text`],
  ['tenant', (value) => isWhole(value, 0, TENANTS_MAX - 1),
    `a whole number from 0 to ${TENANTS_MAX - 1}`],
  ['scopes', isScopes, `some of ${SCOPES.join(', ')}`],
  ['users', (value) => value === 'one' || value === 'many', 'one or many'],
  ['expires', (value) => value === null || isTime(value), `${TIME}, or null`],
]

const KEPT_CHECKS: readonly Check[] = [
  ['id', (value) => typeof value === 'string' && isKeyId(value), '12 letters and digits'],
  ['number', (value) => isWhole(value, 1, KEYS_MAX), `a whole number from 1 to ${KEYS_MAX}`],
  ['sha256', (value) => typeof value === 'string' && SHA256.test(value),
    '64 hexadecimal digits in lower case'],
  ['created', isTime, TIME],
  ['last_used', (value) => value === null || isTime(value), `${TIME}, or null`],
]

const KEPT_FIELDS: ReadonlySet<string> =
  new Set([...WISH_CHECKS, ...KEPT_CHECKS].map(([field]) => field).concat('limits'))

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The wish in an object with the fields of the key file, or its first wrong field. */
export function readWish(fields: Fields): KeyWish | FieldProblem {
  const problem = firstWrong(fields, WISH_CHECKS)
  if (problem !== undefined) return problem
  const limits = readLimits(fields['limits'])
  if ('field' in limits) return limits
  const { expires, name, scopes, tenant, users } = fields
  return {
    name: name as string, tenant: tenant as number, scopes: scopes as Scope[],
    users: users as 'one' | 'many', limits, expiresMs: readTime(expires),
  }
}

/** The key in an entry of the key file, or its first wrong field. Never quotes a value. */
export function readEntry(value: unknown): KeyEntry | FieldProblem {
  if (!isObject(value)) return { field: '', expected: 'an object' }
  const unknown = Object.keys(value).find((field) => !KEPT_FIELDS.has(field))
  if (unknown !== undefined) return { field: shownField(unknown), expected: 'no such field' }
  const problem = firstWrong(value, KEPT_CHECKS)
  if (problem !== undefined) return problem
  const wish = readWish(value)
  if ('field' in wish) return wish
  return {
    ...wish, id: value['id'] as string, number: value['number'] as number,
    hash: Buffer.from(value['sha256'] as string, 'hex'),
    createdMs: Date.parse(value['created'] as string),
    lastUsedMs: readTime(value['last_used']),
  }
}

/** What readEntry() reads. */
export const writeEntry = (entry: KeyEntry): object => ({
  ...publicEntry(entry), sha256: entry.hash.toString('hex'),
})

/** The same without the hash, for people and logs. */
export const publicEntry = (entry: KeyEntry): Fields => ({
  id: entry.id, number: entry.number, name: entry.name, tenant: entry.tenant,
  scopes: entry.scopes, users: entry.users, limits: writeLimits(entry.limits),
  created: writeTime(entry.createdMs), expires: writeTime(entry.expiresMs),
  last_used: writeTime(entry.lastUsedMs),
})

function firstWrong(fields: Fields, checks: readonly Check[]): FieldProblem | undefined {
  const wrong = checks.find(([field, isRight]) => !isRight(fields[field]))
  return wrong === undefined ? undefined : { field: wrong[0], expected: wrong[2] }
}

function readLimits(value: unknown): KeyLimits | FieldProblem {
  if (!isObject(value)) return { field: 'limits', expected: 'an object' }
  const fields = new Map(Object.entries(value))
  const limits = { ...NO_LIMITS }
  for (const [name, field, max] of LIMITS) {
    const limit = fields.get(field)
    if (!fields.delete(field)) continue
    if (!isWhole(limit, 1, max)) {
      return { field: `limits.${field}`, expected: `a whole number from 1 to ${max}` }
    }
    limits[name] = limit as number
  }
  const [unknown] = fields.keys()
  if (unknown === undefined) return limits
  return { field: `limits.${shownField(unknown)}`, expected: 'no such field' }
}

const writeLimits = (limits: KeyLimits): object => Object.fromEntries(LIMITS
  .filter(([name]) => limits[name] !== Infinity).map(([name, field]) => [field, limits[name]]))

const readTime = (value: unknown): number | null =>
  value === null ? null : Date.parse(value as string)

const writeTime = (ms: number | null): string | null =>
  ms === null ? null : new Date(ms).toISOString()
