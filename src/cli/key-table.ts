// The keys as a table for people.

const COLUMNS = ['id', 'name', 'tenant', 'scopes', 'users', 'expires', 'last used', 'limits']

/** A row for each key, under a line of headings. */
export function keyTable(keys: ReadonlyArray<Readonly<Record<string, unknown>>>): string {
  if (keys.length === 0) return 'there are no keys; sluice keys add --name NAME makes one\n'
  const rows = [COLUMNS, ...keys.map(rowOf)]
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => width(row[column]))))
  return rows.map((row) => `${row.map((cell, column) =>
    cell + ' '.repeat((widths[column] as number) - width(cell))).join('  ').trimEnd()}\n`).join('')
}

const rowOf = (key: Readonly<Record<string, unknown>>): string[] => [
  String(key['id']), String(key['name']), String(key['tenant']),
  (key['scopes'] as readonly string[]).join(','), String(key['users']),
  showTime(key['expires'], 'never'), showTime(key['last_used'], 'never'),
  Object.entries(key['limits'] as object).map(([name, limit]) => `${name}=${limit}`).join(' ') ||
    'none',
]

/** To the second. */
const showTime = (time: unknown, none: string): string =>
  time === null ? none : String(time).replace(/\.\d+Z$/, 'Z')

const width = (text = ''): number => [...text].length
