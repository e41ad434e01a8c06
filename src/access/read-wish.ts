// What whoever adds a key says, as texts from a command line or a request, and what it means.

import { parseDecimal, parseDurationMs } from '../base/quantities.ts'
import { type FieldProblem, type KeyWish, readWish } from './key-entry.ts'

/** By option; those that are left out have their defaults. */
export type WishTexts = Readonly<Partial<Record<WishOption, string>>>

/** Every option of a key: its name on the command line, and the file's field that it is for. */
export const WISH_OPTIONS = {
  name: 'name', scopes: 'scopes', tenant: 'tenant', users: 'users', expires: 'expires',
  'jobs-queued': 'limits.jobs_queued', rate: 'limits.submissions_per_second',
  streams: 'limits.streams', sockets: 'limits.sockets',
} as const
export type WishOption = keyof typeof WISH_OPTIONS

const SCOPES_DEFAULT = 'submit,read'
const DATE = /^\d{4}-\d\d-\d\d$/

/** The wish, or the option that is wrong. */
export function wishOf(texts: WishTexts, nowMs: number): KeyWish | FieldProblem {
  const wish = readWish({
    name: texts.name, tenant: numberOf(texts.tenant ?? '0'), users: texts.users ?? 'one',
    scopes: (texts.scopes ?? SCOPES_DEFAULT).split(',').map((scope) => scope.trim()),
    expires: texts.expires === undefined ? null : timeOf(texts.expires, nowMs),
    limits: limitsOf(texts),
  })
  const isPast = !('field' in wish) && (wish.expiresMs ?? Infinity) <= nowMs
  if (isPast || ('field' in wish && wish.field === 'expires')) {
    return { field: 'expires',
      expected: 'a duration such as 30d, or a time to come such as 2027-01-31T12:00:00Z' }
  }
  return 'field' in wish ? { ...wish, field: optionOf(wish.field) } : wish
}

/** Text that is no number stays as it is, and is refused later. */
const numberOf = (text: string): unknown => parseDecimal(text) ?? text

function timeOf(text: string, nowMs: number): string {
  const durationMs = parseDurationMs(text)
  if (durationMs === undefined) return DATE.test(text) ? `${text}T00:00:00Z` : text
  const at = new Date(nowMs + durationMs)
  return Number.isNaN(at.getTime()) ? '' : at.toISOString()
}

function limitsOf(texts: WishTexts): Readonly<Record<string, unknown>> {
  const limits: Record<string, unknown> = {}
  for (const [option, field] of Object.entries(WISH_OPTIONS)) {
    const text = texts[option as WishOption]
    const [, limit] = field.split('.')
    if (limit === undefined || text === undefined) continue
    limits[limit] = numberOf(option === 'rate' ? text.replace(/\/s$/, '') : text)
  }
  return limits
}

/** The option for a field, or the field itself. */
export const optionOf = (field: string): string =>
  Object.entries(WISH_OPTIONS).find(([, each]) => each === field)?.[0] ?? field
