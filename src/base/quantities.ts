// Sizes, durations and switches as people write them, and back again. Pure: text in, numbers out;
// what cannot be read is `undefined`, and the caller says what was expected.

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  '': 1, b: 1,
  k: 1024, kb: 1024, kib: 1024,
  m: 1024 ** 2, mb: 1024 ** 2, mib: 1024 ** 2,
  g: 1024 ** 3, gb: 1024 ** 3, gib: 1024 ** 3,
  t: 1024 ** 4, tb: 1024 ** 4, tib: 1024 ** 4,
}

/** In lower case only: M could be a minute or a million of something. */
const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000,
}

const QUANTITY = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i

function readQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = QUANTITY.exec(text.trim())
  if (match === null) return undefined
  const unit = (match[2] ?? '').toLowerCase()
  if (!Object.hasOwn(units, unit)) return undefined
  const value = Math.round(Number(match[1]) * (units[unit] ?? 0))
  return Number.isSafeInteger(value) ? value : undefined
}

/**
 * A size in whole bytes. Units are binary whichever way they are spelt, so that 1g and 1GiB agree.
 * '512MiB' → 536870912, '1.5g' → 1610612736, '4096' → 4096, '12 apples' → undefined.
 */
export const parseBytes = (text: string): number | undefined => readQuantity(text, BYTES_PER_UNIT)

const DURATION_PART = /(\d+(?:\.\d+)?)\s*([a-z]+)\s*/y

/**
 * A duration in whole milliseconds; the unit is required, because a bare 30 could be either.
 * Several parts go from the largest unit to the smallest.
 * '500ms' → 500, '1h30m' → 5400000, '1.5h' → 5400000, '0' → 0, '30', '1M', '30m1h' → undefined.
 */
export function parseDurationMs(text: string): number | undefined {
  const trimmed = text.trim()
  if (trimmed === '0') return 0
  let sum = 0
  let unitBefore = Infinity
  DURATION_PART.lastIndex = 0
  do {
    const [, count, name = ''] = DURATION_PART.exec(trimmed) ?? []
    const unit = Object.hasOwn(MS_PER_UNIT, name) ? MS_PER_UNIT[name] ?? 0 : 0
    if (count === undefined || unit === 0 || unit >= unitBefore) return undefined
    sum += Number(count) * unit
    unitBefore = unit
  } while (DURATION_PART.lastIndex < trimmed.length)
  const ms = Math.round(sum)
  return Number.isSafeInteger(ms) && Math.abs(ms - sum) < MS_ROUNDED_MAX ? ms : undefined
}

/** The rounding error of 1.1h is below it, half a millisecond is not. */
const MS_ROUNDED_MAX = 1e-3

const SWITCHES: Readonly<Record<string, boolean>> = {
  true: true, on: true, yes: true, enabled: true, 1: true,
  false: false, off: false, no: false, disabled: false, 0: false,
}

/** A switch: 'on' → true, 'FALSE' → false, 'perhaps' → undefined. */
export function parseSwitch(text: string): boolean | undefined {
  const word = text.trim().toLowerCase()
  return Object.hasOwn(SWITCHES, word) ? SWITCHES[word] : undefined
}

const DECIMAL = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i

/** A finite decimal number: '0.5' → 0.5, '1e6' → 1000000, '0x10' → undefined, '' → undefined. */
export function parseDecimal(text: string): number | undefined {
  const trimmed = text.trim()
  if (!DECIMAL.test(trimmed)) return undefined
  const value = Number(trimmed)
  return Number.isFinite(value) ? value : undefined
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** For people, rounded: 536870912 → '512 MiB', 1610612736 → '1.5 GiB', 100 → '100 B'. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const rounded = value >= 100 || unit === 0 ? Math.round(value) : Math.round(value * 10) / 10
  return `${rounded} ${BYTE_UNITS[unit]}`
}

/** Exact and parseable: 536870912 → '512MiB', 1610612736 → '1536MiB', 100 → '100'. */
export function formatSize(bytes: number): string {
  for (const [at, unit] of [...BYTE_UNITS.entries()].toReversed()) {
    const size = 1024 ** at
    if (at > 0 && bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return String(bytes)
}

/** The largest unit that divides it: 30000 → '30s', 1800000 → '30m', 1500 → '1500ms', 0 → '0'. */
export function formatDurationMs(ms: number): string {
  if (ms === 0) return '0'
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = MS_PER_UNIT[unit] ?? 1
    if (ms % size === 0) return `${ms / size}${unit}`
  }
  return `${ms}ms`
}
