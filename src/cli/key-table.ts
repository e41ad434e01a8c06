// The keys as a table for people.

import { optionOf } from '../access/read-wish.ts'

const COLUMNS = ['id', 'name', 'tenant', 'scopes', 'users', 'expires', 'last used', 'limits']

/** A row for each key, under a line of headings. */
export function keyTable(
  keys: ReadonlyArray<Readonly<Record<string, unknown>>>, nowMs: number,
): string {
  if (keys.length === 0) return 'there are no keys; sluice keys add --name NAME makes one\n'
  const rows = [COLUMNS, ...keys.map((key) => rowOf(key, nowMs))]
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => width(row[column]))))
  return rows.map((row) => `${row.map((cell, column) =>
    cell + ' '.repeat((widths[column] as number) - width(cell))).join('  ').trimEnd()}\n`).join('')
}

const rowOf = (key: Readonly<Record<string, unknown>>, nowMs: number): string[] => [
  String(key['id']), String(key['name']), String(key['tenant']),
  (key['scopes'] as readonly string[]).join(','), String(key['users']),
  showTime(key['expires'], 'never') + (isPast(key['expires'], nowMs) ? ' (expired)' : ''),
  showTime(key['last_used'], 'never'),
  Object.entries(key['limits'] as Readonly<Record<string, number>>).map(showLimit).join(' ') ||
    'none',
]

const isPast = (time: unknown, nowMs: number): boolean =>
  time !== null && Date.parse(String(time)) <= nowMs

/** As it is given to `sluice keys add`: submissions_per_second, 50 → rate=50/s */
function showLimit([field, limit]: readonly [string, number]): string {
  const option = optionOf(`limits.${field}`)
  return `${option}=${limit}${option === 'rate' ? '/s' : ''}`
}

/** To the second. */
const showTime = (time: unknown, none: string): string =>
  time === null ? none : String(time).replace(/\.\d+Z$/, 'Z')

const width = (text = ''): number => [...text].length
